"""Commands that several tests share."""

# The command of the fixture `finished_run`, but for its folder.
FINISHED_RUN = ["--config=scale:quick", "--config.size=16", "--config.design.steps=20", "--config.design.width=16"]
FINISHED_RUN += ["--config.design.frequencies=8", "--config.axes.scale=1,4,16", "--config.axes.seed=0,1"]
