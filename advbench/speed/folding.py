"""BatchNorm folded into the layer before it: in evaluation mode both are linear, and one does for two."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from advbench.draws.draws import Draws
from advbench.draws.sampling import content_keys, takes_draws, under_draws

_LINEAR: Final = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)
_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def fold_batch_norm(model: nn.Module, x: Tensor, places: Collection[str] = ()) -> int:
    """Fold every BatchNorm layer that directly follows a convolution or a linear layer into it, in place.

        w' = w * gamma / sqrt(var + eps),   b' = (b - mean) * gamma / sqrt(var + eps) + beta

    Which layer follows which is seen in one forward pass: the output of the one is the very tensor that the
    other is given, each has been called with no other partner, and nobody else watches them. (A trace would
    find the same pairs, in fewer models.) A BatchNorm that the model knows by two names is left as it is.
    What else uses a layer's output cannot be seen so; whoever calls compares the logits. A BatchNorm that was
    folded is an identity of the same name, so that places in the network keep their meaning.

    Args:
        model: in evaluation mode; changed.
        x: images for the pass, `(n, c, h, w)`.
        places: names of modules in `model.named_modules()` whose outputs are wanted as they are.

    Returns:
        How many were folded.
    """
    seen = _watch(model, x)
    names = {module: name for name, module in model.named_modules()}
    uses = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    count = 0
    for first, norm in dict.fromkeys(seen.pairs):
        alone = seen.calls.count(first) == seen.calls.count(norm) == seen.pairs.count((first, norm))
        if alone and uses[norm] == 1 and names[first] not in places and _foldable(first, norm):
            _fold(first, norm)
            parent, _, own = names[norm].rpartition(".")
            setattr(model.get_submodule(parent), own, nn.Identity())
            count += 1
    return count


@dataclass
class _Seen:
    """The order of a forward pass.

    Args:
        calls: layers that were called, once for each call.
        pairs: a linear layer and the BatchNorm that was given its output, once for each call.
        last: outputs of linear layers, alive, so that no other tensor takes their place.
    """

    calls: list[nn.Module] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    last: dict[int, tuple[nn.Module, Tensor]] = field(default_factory=dict)

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.calls.append(module)
        if isinstance(module, _LINEAR):
            if not _over_tokens(module, output):
                self.last[id(output)] = (module, output)
        elif inputs and id(inputs[0]) in self.last:
            self.pairs.append((self.last[id(inputs[0])][0], module))


def _over_tokens(module: nn.Module, output: Any) -> bool:
    """Whether a linear layer acts on the last of several axes, of which BatchNorm takes the second."""
    return isinstance(module, nn.Linear) and output.dim() > 2


def _watch(model: nn.Module, x: Tensor) -> _Seen:
    seen = _Seen()
    watch_forward(
        model, x, [module for module in model.modules() if type(module) in (*_LINEAR, *_NORMS)], seen
    )
    return seen


@torch.no_grad()
def watch_forward(
    model: nn.Module, x: Tensor, layers: Sequence[nn.Module], hook: Callable[[nn.Module, Any, Any], None]
) -> None:
    """One forward pass in which a hook is told of each call of some layers.

    Args:
        model: runs; one whose forward pass takes `draws` is given some.
        x: what it is given.
        layers: which of its modules are watched.
        hook: is told the module, its inputs and its output.
    """
    handles = [layer.register_forward_hook(hook) for layer in layers]
    run = under_draws(model, Draws(0, content_keys(x), "/random/watched")) if takes_draws(model) else model
    try:
        run(x)
    finally:
        for handle in handles:
            handle.remove()


def _foldable(first: Any, norm: Any) -> bool:
    """Whether the weights say everything about both layers, and torch can fuse them."""
    if getattr(first, "transposed", False) and first.groups > 1:
        return False  # `fuse_conv_bn_weights` scales the wrong axis of these
    watched = [layer._forward_hooks or layer._forward_pre_hooks for layer in (first, norm)]  # no other way
    own = isinstance(first.weight, nn.Parameter) and set(dict(first.named_parameters())) <= {"weight", "bias"}
    return own and not any(watched) and norm.running_mean is not None and not norm.training


def _fold(first: Any, norm: Any) -> None:
    if isinstance(first, nn.Linear):
        fuse: Callable[..., tuple[nn.Parameter, nn.Parameter]] = fuse_linear_bn_weights
    else:
        fuse = partial(fuse_conv_bn_weights, transpose="Transpose" in type(first).__name__)
    scale = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
    shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
    statistics = (norm.running_mean, norm.running_var, norm.eps)
    first.weight, first.bias = fuse(first.weight, first.bias, *statistics, scale, shift)
