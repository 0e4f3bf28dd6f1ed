"""Update rules, learning-rate schedules and losses. The only file that imports optax."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.settings import Registry, about

Rule: TypeAlias = optax.GradientTransformation
# Functions of the learning rate: a number, or a function of the step.
OPTIMIZERS = Registry("optimizer")
# Functions of an update rule's maker, the first learning rate, the number of steps, and of steps in an epoch.
SCHEDULES = Registry("schedule")
# Functions of predictions and targets: the loss is the mean of what they return over all elements.
LOSSES = Registry("loss")


@OPTIMIZERS.register()
def adam(learning_rate: Any) -> Rule:
    """Adam (Kingma and Ba 2015), betas 0.9 and 0.999, epsilon 1e-8."""
    return optax.adam(learning_rate)


@OPTIMIZERS.register()
def adamw(
    learning_rate: Any,
    *,
    weight_decay: Annotated[ArrayLike, about("of adamw, times the learning rate", low=0.0)] = 1e-2,
) -> Rule:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), on weights and biases as in PyTorch."""
    return optax.adamw(learning_rate, weight_decay=weight_decay)


@OPTIMIZERS.register()
def sgd(learning_rate: Any) -> Rule:
    """Gradient descent without momentum."""
    return optax.sgd(learning_rate)


@OPTIMIZERS.register()
def muon(learning_rate: Any) -> Rule:
    """Muon (Jordan et al. 2024) on the square matrices between hidden layers, Adam on everything else.

    Its updates get the root mean square of Adam's, 0.2 √width (Liu et al. 2025, eq. 4), so one learning rate does both.
    """

    def kind(path: Any, leaf: Any) -> str:
        shape = jnp.shape(leaf)
        square = len(shape) == 2 and shape[0] == shape[1]
        hidden = square and "network/" in (name := jax.tree_util.keystr(path, simple=True, separator="/"))
        # A square last layer, of as many channels as units, is hidden too; the first one never is.
        return "hidden" if hidden and "Dense_0/" not in name else "other"

    def widened(updates: Any, params: Any = None) -> Any:
        return jax.tree.map(lambda update: update * (0.2 * len(update) ** 0.5), updates)

    hidden = optax.chain(optax.contrib.muon(learning_rate), optax.stateless(widened))
    kinds = lambda params: jax.tree_util.tree_map_with_path(kind, params)  # noqa: E731
    return optax.partition({"hidden": hidden, "other": adam(learning_rate)}, kinds)


@SCHEDULES.register()
def constant(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int) -> Rule:
    """The learning rate as it is."""
    return rule(rate)


@SCHEDULES.register()
def cosine(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int) -> Rule:
    """Half a cosine from the learning rate to 0."""
    return rule(optax.cosine_decay_schedule(rate, max(steps, 1)))


@SCHEDULES.register()
def exponential(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int) -> Rule:
    """Exponentially from the learning rate to a tenth of it."""
    return rule(optax.exponential_decay(rate, max(steps, 1), 0.1))


@SCHEDULES.register()
def plateau(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int) -> Rule:
    """A tenth after ten epochs, passes over the training pixels, whose mean loss is no new best."""
    return optax.chain(rule(rate), optax.contrib.reduce_on_plateau(accumulation_size=epoch))


@LOSSES.register()
def mse(predictions: Float[Array, "n c"], targets: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Squared error."""
    return jnp.square(predictions - targets)


@LOSSES.register()
def l1(predictions: Float[Array, "n c"], targets: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Absolute error."""
    return jnp.abs(predictions - targets)


def update(rule: Rule, gradient: Any, opt_state: Any, params: Any, loss: Float[Array, ""]) -> tuple[Any, Any]:
    """The parameters after an update, and the optimizer's state."""
    updates, opt_state = optax.with_extra_args_support(rule).update(gradient, opt_state, params, value=loss)
    return optax.apply_updates(params, updates), opt_state
