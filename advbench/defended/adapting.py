"""A classifier that adapts at test time: it learns from the images that it is asked about.

Every pass runs a copy of the network in the state in which the pass begins; the network that was given is
never run. So nothing that an attack tries leaves a trace, a batch can be judged as often as is needed, and
the model is left as it was found. The copy that a judged batch leaves is the state that the next batch of a
stream begins in.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _NormBase

from advbench.defended.clips import clipped_from_inside
from advbench.defended.held_statistics import statistics_held
from advbench.errors import AdvbenchError, ModelError, first_line, ran_out_of_memory
from advbench.names.user_code import told_as

Gradient = Literal["whole", "held", "static"]
"""What an attack differentiates, while the forward pass is that of the adapting model in any case.

`whole`: the adaptation too, as far as autograd follows it; where it does not there is no gradient.
`held`: the network as it was adapted, at what it was shown last, and the adaptation as a constant.
`static`: the network without its adaptation.
"""

CHANGED: Final = (
    "the model changes itself for good, outside of what --episodic and --stream put back: keep what it "
    "adapts in its parameters, buffers and attributes (no globals, no functions that close over the network)."
)
FORGETFUL: Final = (
    "the model answers otherwise when the same batch finds it in the same state: it draws random numbers, or "
    "remembers something outside of its parameters, buffers and attributes, which --episodic and --stream "
    "cannot put back."
)

_SHOWN: Final = 8  # images, so that statistics of a batch can be taken


@dataclass
class Episode:
    """A pass of an adapting network.

    Args:
        begin: the network in the state in which the pass begins; it is copied, and not run.
        gradient: what is differentiated.
        after: the copy in the state that the last pass without a gradient has left.
    """

    begin: nn.Module
    gradient: Gradient = "whole"
    after: nn.Module | None = None


_episode: Final[ContextVar[Episode | None]] = ContextVar("pass of an adapting model", default=None)
"""Of the forward pass that is under way: the network stands behind wrappers that pass pixels alone."""


@contextmanager
def adapted(episode: Episode | None) -> Iterator[None]:
    """Meanwhile, adapting models adapt; without an episode they are their static networks."""
    token = _episode.set(episode)
    try:
        yield
    finally:
        _episode.reset(token)


class _Static(NamedTuple):
    """The network without its adaptation."""

    name: str | None
    """Of the module inside that it is; empty for the network itself, None where there is none."""
    network: nn.Module
    """Frozen and in evaluation mode."""
    changes: bool
    """Whether a pass changes it, so that copies are run instead."""


class Adapting(nn.Module):
    """A network that adapts while it answers, in evaluations that say in which batches.

    Elsewhere, and on the row of the undefended model, it is its static network: the outermost module inside
    that is shown images and answers with as many logits, in its initial state; else the network itself in
    evaluation mode, with the statistics that its BatchNorm layers have learnt. An attribute `static_network`
    of the network, a module or the name of one, says it better.

    While it adapts, BatchNorm layers keep the mode in which the network was given: in training mode they take
    their statistics from the batch. All other modules are in evaluation mode.

    Args:
        network: pixels `(n, c, h, w)` to logits `(n, k)`; it is copied here, and left as it is.

    Raises:
        ModelError: a network that cannot be copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._given = (network, _tensors(network))
        self.network = _copied(network)  # frozen by `prepared`, moved with the rest, and never run
        for module in self.network.modules():
            if not isinstance(module, _NormBase):
                module.training = False
        self._initial = (_copied(self.network),)  # a tuple, so that nobody freezes it
        self._static: _Static | None = None

    @property
    def initial(self) -> nn.Module:
        """The network in its initial state; it is never run."""
        return self._initial[0]

    @property
    def batch_layers(self) -> int:
        """How many layers normalise by the statistics of the batch."""
        return sum(
            isinstance(module, _NormBase) and (module.training or module.running_mean is None)
            for module in self.initial.modules()
        )

    def check_unchanged(self) -> None:
        """See whether the network is as it was given, and put it back where it is not.

        Raises:
            ModelError: it is not, which no copy could keep it from.
        """
        network, before = self._given
        if not _same(before, network):
            with torch.no_grad():
                for name, tensor in _named(network):
                    if name in before:
                        tensor.copy_(before[name])
            raise ModelError(CHANGED)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`; of the adapted network in an episode."""
        episode = _episode.get()
        if episode is None:
            return self._unadapted(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            network = _copied(episode.begin)
            logits = _answer(network, x.detach()).detach()
            episode.after = _settled(network)
            return logits
        if episode.gradient == "whole" or self.static(x).name is None:
            followed: Tensor = _Followed.apply(x, partial(_answer_of, episode.begin))
            return followed
        if episode.gradient == "static":
            logits, through = _answer_of(episode.begin, x.detach()).detach(), self._unadapted(x)
        else:
            logits, through = self._held(episode.begin, x)
        return logits + (through - through.detach())  # the value is that of the first, to the last bit

    def static(self, x: Tensor) -> _Static:
        """The network without its adaptation, found at the first images that are shown."""
        if self._static is None:
            with adapted(None), torch.no_grad():
                self._static = self._found(x.detach()[:1].repeat(_SHOWN, *[1] * (x.dim() - 1)))
        return self._static

    def _unadapted(self, x: Tensor) -> Tensor:
        static = self.static(x)
        if static.name is None:
            followed: Tensor = _Followed.apply(x, partial(_answer_of, self.initial))
            return followed
        network = _copied(static.network) if static.changes else static.network
        logits: Tensor = network(x)
        return logits

    def _found(self, x: Tensor) -> _Static:
        given = getattr(self.initial, "static_network", None)
        if isinstance(given, nn.Module):
            given = next((name for name, module in self.initial.named_modules() if module is given), None)
        name = given if isinstance(given, str) and given else self._inside(x)
        try:
            network = _frozen(_copied(self.initial).get_submodule(name))
            before = _tensors(network)
            logits = network(x)
        except Exception as error:  # the user's network may raise anything: then it is never without
            if ran_out_of_memory(error):
                raise
            return _Static(None, self.initial, True)
        if not isinstance(logits, Tensor):
            return _Static(None, self.initial, True)
        changes = not _same(before, network)
        return _Static(name, _frozen(_copied(self.initial).get_submodule(name)), changes)

    def _inside(self, x: Tensor) -> str:
        """The outermost module that is shown images and answers with logits; empty where there is none."""
        network = _copied(self.initial)
        calls: list[tuple[nn.Module, Any]] = []
        logits = _answer(network, x, lambda module, _inputs, output: calls.append((module, output)), x.shape)
        called = {id(module) for module, output in calls if _like(output, logits)}
        return next((name for name, module in network.named_modules() if name and id(module) in called), "")

    def _held(self, begin: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The adapted network's answer, and what it answers to the images with its adaptation held."""
        name, network, shown = self.static(x).name, _copied(begin), list[Tensor]()
        if not name:
            logits = _answer(network, x.detach()).detach()
            with statistics_held(_copied(begin).requires_grad_(False)) as held:
                return logits, held(x)
        inside = network.get_submodule(name)

        def watch(module: nn.Module, inputs: Any, _output: Any) -> None:
            if module is inside:
                shown.append(inputs[0].detach())

        logits = _answer(network, x.detach(), watch, x.shape).detach()
        point = (shown[-1] if shown else x.detach()) + (x - x.detach())
        through: Tensor = _settled(network).get_submodule(name)(point)
        return logits, through


class _Followed(torch.autograd.Function):
    """What a run gives, with its derivative as far as autograd has one after the run; else zero.

    An adaptation may change weights in place that the derivative needs, which autograd refuses in the
    backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            point = x.detach().requires_grad_(ctx.needs_input_grad[0])
            try:
                y = clipped_from_inside(run, point)
            except AdvbenchError:
                y = run(x.detach())  # `x.numpy()` refuses a tensor that requires grad
        ctx.point, ctx.y = point, y
        return y.detach().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        point, y = ctx.point, ctx.y
        through = None
        if y.requires_grad and point.requires_grad:
            try:
                (through,) = torch.autograd.grad(y, point, grad, allow_unused=True)
            except RuntimeError as error:
                if ran_out_of_memory(error):
                    raise
        return (torch.zeros_like(point) if through is None else through), None


def _answer_of(begin: nn.Module, x: Tensor) -> Tensor:
    return _answer(_copied(begin), x)


def _answer(
    network: nn.Module,
    x: Tensor,
    watch: Callable[[nn.Module, Any, Any], None] | None = None,
    shape: tuple[int, ...] = (),
) -> Tensor:
    """Logits of a network that may compute gradients itself, as it does where nobody has switched them off.

    Args:
        network: it is changed.
        x: images `(n, c, h, w)`.
        watch: is told each module that is shown a tensor of the shape, and what it answers.
        shape: see `watch`.

    Raises:
        ModelError: it fails, or answers with something else than logits.
    """

    def of_images(module: nn.Module, inputs: Any, output: Any) -> None:
        if watch and inputs and isinstance(inputs[0], Tensor) and inputs[0].shape == shape:
            watch(module, inputs, output)

    handles = [module.register_forward_hook(of_images) for module in network.modules()] if watch else []
    fails = f"the model fails while it adapts to a batch of {len(x)} images"
    try:
        with told_as(ModelError, fails), torch.inference_mode(False), torch.enable_grad():
            logits: Any = network(x)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(f"a model that adapts must return logits ({len(x)}, classes) alone, got {got}.")
    return logits


def _like(output: Any, logits: Tensor) -> bool:
    return isinstance(output, Tensor) and output.shape == logits.shape


def _copied(network: nn.Module) -> nn.Module:
    """A copy that shares nothing with the network.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        return copy.deepcopy(network)
    except Exception as error:  # what a user's module holds may refuse
        if ran_out_of_memory(error):
            raise
        raise ModelError(
            f"a model that adapts is copied for each batch, and this one cannot be: {first_line(error)}"
        ) from error


def _frozen(network: nn.Module) -> nn.Module:
    """The network itself, in evaluation mode and without gradients of its parameters."""
    for module in network.modules():
        module.training = False
    return network.requires_grad_(False)


def _settled(network: nn.Module) -> nn.Module:
    """The network itself, without graphs in what it remembers, which could not be copied."""
    for module in network.modules():
        for name, value in vars(module).items():
            if not name.startswith("_"):
                module.__dict__[name] = _without_graph(value)
    return network


def _without_graph(value: Any) -> Any:
    if isinstance(value, Tensor) and not value.is_leaf:
        return value.detach()
    if type(value) in (list, tuple):
        return type(value)(map(_without_graph, value))
    return {key: _without_graph(item) for key, item in value.items()} if type(value) is dict else value


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """What a network's parameters and buffers hold."""
    return {name: tensor.detach().clone() for name, tensor in _named(network)}


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _same(before: dict[str, Tensor], network: nn.Module) -> bool:
    """Whether a network holds what it did."""
    now = dict(_named(network))
    return before.keys() == now.keys() and all(
        torch.equal(tensor, now[name].detach()) or bool(tensor.isnan().any())
        for name, tensor in before.items()
    )


def adapting_in(model: nn.Module) -> Adapting | None:
    """The network inside a model that adapts; None where there is none."""
    return next((module for module in model.modules() if isinstance(module, Adapting)), None)
