"""Update rules, learning-rate schedules and losses. The only file that imports optax."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.settings import Refused, Registry, about

Rule: TypeAlias = optax.GradientTransformation
# Functions of the learning rate: a number, or a function of the step.
OPTIMIZERS = Registry("optimizer")
# Functions of an update rule's maker, the first learning rate, the number of steps, and of steps in an epoch.
SCHEDULES = Registry("schedule")
# Functions of predictions and targets: the loss is the mean of what they return over all elements.
LOSSES = Registry("loss")
# Functions of an update rule's maker: the maker of one for groups of parameters.
GROUPS = Registry("groups")
# Functions of the average so far, None at first, of the parameters and of the step's number: the next average.
AVERAGES = Registry("average")
Beta1 = Annotated[ArrayLike, about("decay of an Adam's mean of gradients", low=0.0, high=0.9999999)]
Beta2 = Annotated[ArrayLike, about("decay of an Adam's mean of squares", low=0.0, high=0.9999999)]
Epsilon = Annotated[ArrayLike, about("added to the root in an Adam's denominator", low=0.0)]
Decay = Annotated[ArrayLike, about("weight decay, times the learning rate", low=0.0)]
Final = Annotated[ArrayLike, about("learning rate of the last step over the first", low=0.0, high=1.0)]


@OPTIMIZERS.register()
def adam(learning_rate: Any, *, beta_1: Beta1 = 0.9, beta_2: Beta2 = 0.999, epsilon: Epsilon = 1e-8) -> Rule:
    """Adam (Kingma and Ba 2015)."""
    return optax.adam(learning_rate, b1=beta_1, b2=beta_2, eps=epsilon)


@OPTIMIZERS.register()
def adamw(
    learning_rate: Any,
    *,
    weight_decay: Decay = 1e-2,
    beta_1: Beta1 = 0.9,
    beta_2: Beta2 = 0.999,
    epsilon: Epsilon = 1e-8,
) -> Rule:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), on weights and biases as in PyTorch."""
    return optax.adamw(learning_rate, b1=beta_1, b2=beta_2, eps=epsilon, weight_decay=weight_decay)


@OPTIMIZERS.register()
def sgd(learning_rate: Any) -> Rule:
    """Gradient descent without momentum."""
    return optax.sgd(learning_rate)


@OPTIMIZERS.register()
def muon(
    learning_rate: Any,
    *,
    muon_rate: Annotated[ArrayLike, about("learning rate of muon's matrices over that of all else", low=0.0)] = 1.0,
) -> Rule:
    """Muon (Jordan et al. 2024) on the matrices between hidden layers, Adam on everything else.

    Its updates get the root mean square of Adam's, 0.2 √(longer side) (Liu et al. 2025, eq. 4), so one learning rate
    can do both.
    """

    def widened(updates: Any, params: Any = None) -> Any:
        # In the place of optax's factor for the shape, which takes the first axis for the inputs: ours are outputs.
        factor = lambda shape: 0.2 * max(shape) ** 0.5 / max(1, shape[1] / shape[0]) ** 0.5  # noqa: E731
        return jax.tree.map(lambda update: update * factor(update.shape), updates)

    hidden = optax.chain(optax.contrib.muon(times(learning_rate, muon_rate)), optax.stateless(widened))
    return optax.partition({"hidden": hidden, "other": optax.adam(learning_rate)}, hidden_weights)


def hidden_weights(params: Any) -> Any:
    """Of each parameter "hidden", the weights of layers that are neither the first nor the last, or "other"."""
    names = params.get("network", {})
    layers = sorted(int(name[6:]) for name in names if name.startswith("Dense_") and name[6:].isdigit())
    # Where the last layer has a name of its own, it is not among the numbers.
    layers = [each for each in layers if each > 0 and ("Dense_last" in names or each < layers[-1])]
    hidden = {f"Dense_{each}" for each in layers}

    def kind(path: Any, leaf: Any) -> str:
        group, layer, *_ = (str(getattr(part, "key", part)) for part in path)
        inner = group == "network" and layer in hidden
        return "hidden" if inner and jnp.ndim(leaf) == 2 and min(jnp.shape(leaf)) > 1 else "other"

    kinds = jax.tree_util.tree_map_with_path(kind, params)
    if "hidden" not in jax.tree.leaves(kinds):
        raise Refused("optimizer='muon' needs weights between hidden layers (Dense_1, ...): depth=2 or more")
    return kinds


def times(rate: Any, factor: ArrayLike) -> Any:
    """A learning rate, or a schedule of it, times a factor."""
    return (lambda step: rate(step) * factor) if callable(rate) else rate * factor


@GROUPS.register()
def one(optimizer: Callable[[Any], Rule]) -> Callable[[Any], Rule]:
    """One rule for all parameters."""
    return optimizer


@GROUPS.register()
def two(
    optimizer: Callable[[Any], Rule],
    *,
    encoding_rate: Annotated[
        ArrayLike, about("learning rate of the encoding's parameters over that of the network's", low=0.0)
    ] = 1.0,
    encoding_beta_1: Beta1 = 0.9,
    encoding_beta_2: Beta2 = 0.99,
    encoding_epsilon: Epsilon = 1e-15,
    encoding_decay: Decay = 0.0,
) -> Callable[[Any], Rule]:
    """The encoding's parameters by an Adam of their own, by default that of Instant NGP (Müller et al. 2022)."""

    def rule(rate: Any) -> Rule:
        encoding = optax.adamw(
            times(rate, encoding_rate),
            b1=encoding_beta_1,
            b2=encoding_beta_2,
            eps=encoding_epsilon,
            weight_decay=encoding_decay,
        )

        def labels(params: Any) -> Any:
            if not jax.tree.leaves(params["encoding"]):
                raise Refused("groups='two' needs an encoding that learns")
            return {"encoding": "encoding", "network": "network"}

        return optax.partition({"encoding": encoding, "network": optimizer(rate)}, labels)

    return rule


@AVERAGES.register("none")
def last(average: Any, params: Any, step: ArrayLike) -> None:
    """No average: the last parameters."""


@AVERAGES.register()
def ema(
    average: Any,
    params: Any,
    step: ArrayLike,
    *,
    ema_decay: Annotated[
        ArrayLike,
        about("weight of the average so far in an exponential moving one; 1: the mean of all", low=0.0, high=1.0),
    ] = 0.99,
) -> Any:
    """Exponential moving average of the parameters after each step, without a bias towards the first."""
    if average is None:
        return params
    count, rest = jnp.asarray(step, jnp.float32) + 1, 1 - jnp.asarray(ema_decay, jnp.float32)
    weight = jnp.where(rest > 0, rest / (1 - jnp.asarray(ema_decay) ** count), 1 / count)
    return jax.tree.map(lambda before, now: before + weight * (now - before), average, params)


@SCHEDULES.register()
def constant(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int) -> Rule:
    """The learning rate as it is."""
    return rule(rate)


@SCHEDULES.register()
def cosine(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int, *, final_rate: Final = 0.0) -> Rule:
    """Half a cosine from the learning rate to 0, or to a part of it."""
    return rule(
        lambda step: rate * (final_rate + (1 - final_rate) * optax.cosine_decay_schedule(1.0, max(steps, 1))(step))
    )


@SCHEDULES.register(final_rate=0.1)
def exponential(rule: Callable[[Any], Rule], rate: Any, steps: int, epoch: int, *, final_rate: Final = 0.0) -> Rule:
    """Exponentially from the learning rate to a tenth of it, or to another part."""
    return rule(lambda step: rate * jnp.asarray(final_rate) ** (step / max(steps, 1)))


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
    with jax.default_matmul_precision("highest"):  # muon multiplies matrices, on GPUs with less of them by default
        updates, opt_state = optax.with_extra_args_support(rule).update(gradient, opt_state, params, value=loss)
    return optax.apply_updates(params, updates), opt_state
