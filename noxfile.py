"""Every Python and every jax that is promised, one session each: nox -s SESSION [-- PYTEST ARGUMENTS].

Each makes an environment of its own, `nox -l` lists them. `slow` runs what the others leave out.
"""

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
# The lowest versions that pyproject.toml allows of what decides results.
FLOORS = ("jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.5")
# What Colab ships, as of August 2026.
COLAB = ("jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.8", "numpy==2.1.3", "matplotlib==3.10.0")
# Newer ones of pyparsing warn of what that matplotlib asks of it.
COLAB += (
    "pyparsing<3.3",
    "xarray==2025.12.0",
    "scikit-image==0.25.2",
    "pillow==11.3.0",
    "h5netcdf==1.8.1",
    "imageio==2.37.4",
)


def run_tests(session: nox.Session, *pins: str, extra: str = "test", select: str = "not slow") -> None:
    """Install the package with an extra and these versions, and run the tests that are selected."""
    session.install("--editable", f".[{extra}]", *pins)
    session.run("python", "-c", "import jax, flax; print('jax', jax.__version__, 'flax', flax.__version__)")
    distribute = ("-n", "2", "--dist", "loadgroup" if select == "slow" else "worksteal")
    session.run("python", "-m", "pytest", *distribute, "-m", select, *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """The newest of everything that each Python gives."""
    run_tests(session)


@nox.session(python="3.11")
def floors(session: nox.Session) -> None:
    """The lowest versions."""
    run_tests(session, *FLOORS)


@nox.session(python="3.13")
def colab(session: nox.Session) -> None:
    """Colab's versions."""
    run_tests(session, *COLAB)


@nox.session(python="3.11")
def slow(session: nox.Session) -> None:
    """The tests that `make test` leaves out, with the newest of everything."""
    run_tests(session, extra="test-slow", select="slow")


@nox.session(python="3.11")
def wheel(session: nox.Session) -> None:
    """Wheel and sdist build; the wheel works without the checkout: the console command, its studies, its types."""
    session.install("build", "twine", "mypy")
    made = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", made)
    session.run("bash", "-c", f"twine check --strict {made}/*.whl {made}/*.tar.gz", external=True)
    session.run("bash", "-c", f"python -m pip install --quiet --force-reinstall --no-deps {made}/*.whl", external=True)
    session.install("inr-jax", "--find-links", made)
    session.chdir(made)
    session.run("inr-sweep", "--config=scale:quick", "--config.design.steps=5", "--out=run")
    session.run("python", "-m", "experiments.render", "run", "--member=0", "--out=member.png")
    typed = "import inr_jax as inr; reveal_type(inr.Design()); inr.fit_many(inr.Design(), chunks=3)"
    said = session.run("mypy", "--config-file=", "-c", typed, success_codes=[1], silent=True)
    assert 'Design"' in said and '"chunks"' in said, said


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """The site, without a broken link."""
    session.install("--editable", ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Ruff and mypy."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
