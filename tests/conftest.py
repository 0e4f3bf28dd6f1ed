"""Every test sees two CPU devices: members lie over both."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
