"""Tail: what is computed between a network's output and ``backward``, read as it happens.

The calls of loss functions with their arguments; losses that the user wrote out; and how the
number that ``backward`` is called on is put together from them: ``(loss + penalty) / 4``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from chainrule.analysis.running import tensors_of
from chainrule.diagnosis.losses import BINARY_NLL, CLASSES, LOSS_KINDS, OWN, LossCall
from chainrule.diagnosis.opaque import plain, within_transform
from chainrule.diagnosis.places import Place, user_place

_ADD = ("add", "radd", "iadd")
_SUB = ("sub", "isub", "subtract")
_MUL = ("mul", "rmul", "imul", "multiply")
_DIV = ("div", "truediv", "itruediv", "divide", "true_divide")
_REDUCE = ("mean", "sum", "nanmean", "nansum")
_KEEP = ("clone", "squeeze", "view", "reshape", "to", "float", "double", "contiguous", "flatten")
_LONGEST = 8
_MOST = 400  # operations heard in one tail; a loop over thousands would cost too much


@dataclass(frozen=True)
class Form:
    """A number as a sum of losses: coefficients by the number of the call, and the rest.

    ``exact`` is False after an operation that is not linear: then the parts are not known.
    """

    parts: dict[int, float] = field(default_factory=dict)
    exact: bool = True

    def times(self, factor: float) -> Form:
        return Form({call: factor * value for call, value in self.parts.items()}, self.exact)

    def plus(self, other: Form | None, sign: float = 1.0) -> Form:
        if other is None:
            return self
        parts = dict(self.parts)
        for call, value in other.parts.items():
            parts[call] = parts.get(call, 0.0) + sign * value
        return Form(parts, self.exact and other.exact)


@dataclass(frozen=True, eq=False)
class Heard:
    """One function on the way from the network's output to ``backward``, as it was called.

    Of a further network ``function`` is its model, and ``leaf`` says which tensor of its output.
    """

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor
    place: Place | None
    leaf: int = 0


@dataclass(frozen=True)
class Split:
    """The number that ``backward`` was called on, in its parts.

    Attributes:
        total: the number as it was given to ``backward``.
        data: sum of the loss calls, each in its own size; None where none was heard.
        scale: by what the loss was multiplied (1/4 for four accumulated minibatches; 65536 by a
            gradient scaler); None where several losses have different factors.
        penalty: what else was added, before scaling; None where it cannot be told.
        calls: the loss calls that the number is made of.
        heaviest: of several that compare one output with several targets the one with the largest
            factor; None where there are none such.
    """

    total: float
    data: float | None
    scale: float | None
    penalty: float | None
    calls: tuple[LossCall, ...] = ()
    heaviest: LossCall | None = None


class Tail:
    """What is heard from the end of a forward pass to ``backward``."""

    def __init__(self) -> None:
        self.calls: list[LossCall] = []
        self.trail: list[Heard] = []
        self.heard = 0
        self._forms: dict[int, Form] = {}
        self._chains: dict[int, tuple[str, ...]] = {}
        self._targets: dict[int, Tensor] = {}
        self._heads: dict[int, Tensor] = {}
        self._alive: list[Any] = []  # keeps tensors, so that no id is used twice

    def begin(self, outputs: Any) -> None:
        """These are the outputs of a network."""
        for item in tensors_of(outputs):
            self._alive.append(item)
            self._chains[id(item)] = ()
            self._heads[id(item)] = item

    def passed(self, model: Any, args: Sequence[Any], kwargs: dict[str, Any], outputs: Any) -> None:
        """A further network has run, perhaps on what came out of an earlier one."""
        for leaf, item in enumerate(tensors_of(outputs)):
            self.trail.append(Heard("network", model, tuple(args), kwargs, item, None, leaf))
        self.begin(outputs)

    def hear(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
        """One PyTorch function was called."""
        name = getattr(function, "__name__", "")
        if name == "detach" and isinstance(output, Tensor) and id(args[0]) in self._chains:
            self._cut(function, args, output)
        if name in _SILENT or not isinstance(output, Tensor):
            return
        self.heard += 1
        if self.heard > _MOST:
            return
        name = name.strip("_")
        if name in LOSS_KINDS:
            self._loss(name, function, args, kwargs, output)
        elif output.is_floating_point():
            self._other(name, args, output)
        if output.requires_grad and (id(output) in self._chains or id(output) in self._forms):
            place = user_place()
            self.trail.append(Heard(name, function, tuple(args), kwargs, output, place))

    def _cut(self, function: Any, args: Sequence[Any], output: Tensor) -> None:
        """The graph ends here; a further network may go on."""
        self._alive.append(output)
        self._chains[id(output)] = self._chains[id(args[0])]
        self.trail.append(Heard("detach", function, tuple(args), {}, output, None))

    def _loss(
        self, name: str, function: Any, args: Sequence[Any], kwargs: dict[str, Any], output: Tensor
    ) -> None:
        given, target, options = _arguments(function, args, kwargs)
        if given is None:
            return
        chain = self._chains.get(id(given), ())
        if plain(given).shape != given.shape:
            return  # mapped over examples: the numbers have one axis more than they show
        given, target = plain(given), None if target is None else plain(target)
        call = LossCall(
            name, LOSS_KINDS[name], given, target, options, output, chain,
            user_place(), again=_again(function, args, kwargs),
        )  # fmt: skip
        self._add(call)

    def _add(self, call: LossCall) -> None:
        self._alive.append((call.output, call.input, call.target))
        self._forms[id(call.output)] = Form({len(self.calls): 1.0})
        self._chains.pop(id(call.output), None)
        # a copy: the user may go on to add a penalty in place
        copy = call.output if within_transform(call.output) else call.output.detach().clone()
        self.calls.append(replace(call, output=plain(copy)))

    def _other(self, name: str, args: Sequence[Any], output: Tensor) -> None:
        flat = _operands(args)
        form = next((self._forms[id(item)] for item in flat if id(item) in self._forms), None)
        if form is not None:
            self._alive.append(output)
            self._forms[id(output)] = self._combined(name, args, form, output)
            return
        source = next((item for item in flat if id(item) in self._chains), None)
        if source is None or not output.requires_grad:
            return
        self._derive(name, source, flat, output)

    def _combined(self, name: str, args: Sequence[Any], form: Form, output: Tensor) -> Form:
        """The form of a result, from those of its operands."""
        if name in _KEEP:
            return form
        if name == "neg":
            return form.times(-1.0)
        if name in _REDUCE and output.dim() == 0:
            return form if name.endswith("mean") else replace(form, exact=form.exact)
        if len(args) < 2:
            return replace(form, exact=False)
        first, second = args[0], args[1]
        left, right = self._forms.get(id(first)), self._forms.get(id(second))
        if name in _ADD:
            return (left or Form()).plus(right)
        if name in (*_SUB, "rsub"):
            sign = 1.0 if name in _SUB else -1.0
            return (left or Form()).times(sign).plus(right, -sign)
        if name in _MUL and not (left and right):
            return _scaled(form, second if left else first)
        if name in _DIV and left and not right:
            number = _number(second)
            return form.times(1 / number) if number else replace(form, exact=False)
        return replace(form, exact=False)

    def _derive(self, name: str, source: Tensor, flat: list[Tensor], output: Tensor) -> None:
        """A tensor computed from the network's output: a step towards the loss, or a loss."""
        self._alive.append(output)
        chain = self._chains[id(source)]
        target = self._targets.get(id(source))
        if target is None:  # of p[range(n), y] the last
            candidates = [item for item in flat if self._may_be_target(item, source)]
            target = candidates[-1] if candidates else None
        if output.dim() == 0 and name in _REDUCE:
            head = self._heads.get(id(source), source)
            self._written_out((*chain, name), head, target, output)
            return
        self._chains[id(output)] = (*chain, name)[-_LONGEST:]
        keeps = name in _KEEP or target is None
        self._heads[id(output)] = output if keeps else self._heads.get(id(source), source)
        if target is not None:
            self._targets[id(output)] = target

    def _may_be_target(self, item: Tensor, source: Tensor) -> bool:
        """A tensor that the output is compared with: as many examples, and no gradient."""
        if item is source or item.requires_grad or not item.dim() or not source.dim():
            return False
        return id(item) not in self._chains and len(item) == len(source)

    def _written_out(
        self, chain: tuple[str, ...], given: Tensor, target: Tensor | None, output: Tensor
    ) -> None:
        kind = _kind_of(chain)
        if kind is OWN and _is_binary(chain, target):
            kind = BINARY_NLL
        if kind is OWN and _picks_classes(chain, given, target):
            kind = LOSS_KINDS["nll_loss"]
        if kind.task == CLASSES and target is not None and target.dim() == given.dim() > 1:
            target = target.squeeze(1) if target.shape[1] == 1 else target  # as gather wants it
        options = {"reduction": "sum" if "sum" in chain[-1] else "mean"}
        self._add(
            LossCall(
                " ".join(chain[-_LONGEST:]),
                kind,
                given,
                target,
                options,
                output,
                (),
                user_place(),
                written_out=True,
            )
        )

    def split(self, total: Tensor) -> Split:
        """The parts of the number that ``backward`` is called on."""
        value = float(plain(total).detach().mean())
        form = self._forms.get(id(total))
        if form is None or not form.parts:
            calls = tuple(self.calls[-1:])
            return Split(value, calls[0].mean() if calls else None, None, None, calls)
        calls = tuple(self.calls[index] for index in form.parts)
        values = [float(call.output.detach().mean()) for call in calls]
        factors = list(form.parts.values())
        data = sum(values)
        same = all(item == factors[0] for item in factors) and factors[0] != 0
        weighted = sum(factor * item for factor, item in zip(factors, values, strict=True))
        scale = factors[0] if same else None
        rest = (value - weighted) / (scale or 1.0)
        small = abs(value - weighted) <= 1e-6 * max(abs(value), abs(weighted))
        penalty = None if not form.exact else (0.0 if small else rest)
        one = len(calls) > 1 and all(call.input is calls[0].input for call in calls)
        heaviest = max(zip(factors, calls, strict=True), key=lambda item: abs(item[0]))[1]
        return Split(value, data, scale, penalty, calls, heaviest if one else None)


_SILENT = frozenset(("__get__", "__set__", "item", "backward", "detach", "size", "dim", "__len__"))


def _operands(args: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for item in args:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, tuple | list):
            found += [part for part in item if isinstance(part, Tensor)]
    return found


def _scaled(form: Form, factor: Any) -> Form:
    number = _number(factor)
    return replace(form, exact=False) if number is None else form.times(number)


def _number(value: Any) -> float | None:
    """A plain factor; None for a tensor through which a gradient goes, or of many numbers."""
    if isinstance(value, Tensor):
        if value.requires_grad or value.numel() != 1:
            return None
        return float(value)
    return float(value) if isinstance(value, int | float) else None


def _arguments(
    function: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Tensor | None, Tensor | None, dict[str, Any]]:
    """Input, target and the other arguments of a loss function, however they were given."""
    options = dict(kwargs)
    rest = list(args)
    found = []
    for names in (("input", "scores", "input1", "anchor", "log_probs"), ("target", "targets")):
        key = next((name for name in names if name in options), None)
        value = options.pop(key) if key else (rest.pop(0) if rest else None)
        found.append(value if isinstance(value, Tensor) else None)
    return found[0], found[1], options


def _again(
    function: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The same function with other tensors in the first two places, as a mean."""
    options = {
        name: value for name, value in kwargs.items()
        if name not in ("input", "target", "size_average", "reduce")
    }  # fmt: skip
    further = list(args[2:])
    if any(isinstance(item, Tensor) and item.dim() > 1 for item in (*further, *options.values())):
        return None
    options.pop("reduction", None)

    def call(given: Tensor, target: Tensor) -> Tensor:
        result: Tensor = function(given, target, *further[:1], **options)
        return result.mean()

    return call


def _kind_of(chain: Sequence[str]) -> Any:
    """What loss a chain of operations spells out."""
    words = set(chain)
    difference = bool(words & {"sub", "rsub", "subtract"})
    if difference and words & {"pow", "square"}:
        return LOSS_KINDS["mse_loss"]
    if difference and "abs" in words:
        return LOSS_KINDS["l1_loss"]
    indexed = words & {"getitem", "gather", "mul", "rmul", "take_along_dim"}
    if indexed and (words & {"log_softmax", "logsumexp"} or {"softmax", "log"} <= words):
        return LOSS_KINDS["nll_loss"]
    return OWN


def _is_binary(chain: Sequence[str], target: Tensor | None) -> bool:
    """Whether the logarithm of a yes is weighted with targets that are yes or no."""
    words = set(chain)
    log = words & {"logsigmoid", "log_sigmoid"} or {"sigmoid", "log"} <= words
    if target is None or not log or not words & set(_MUL):
        return False
    return bool(((target == 0) | (target == 1)).all())


def _picks_classes(chain: Sequence[str], given: Tensor, target: Tensor | None) -> bool:
    """Whether of shares, or their logarithms, those of the right classes are picked."""
    if target is None or target.is_floating_point() or given.dim() != 2:
        return False
    if not {"getitem", "gather", "take_along_dim"} & set(chain):
        return False
    rows = given.detach().double()
    shares = rows if "log" in chain else rows.exp()
    return bool((shares >= 0).all() and ((shares.sum(1) - 1).abs() < 1e-3).all())


def detached(call: LossCall) -> LossCall:
    """A loss call that holds no graph: copies of its tensors' values."""
    copy = call.input.detach().clone()
    target = None if call.target is None else call.target.detach().clone()
    return replace(call, input=copy, target=target, output=call.output.detach().clone())
