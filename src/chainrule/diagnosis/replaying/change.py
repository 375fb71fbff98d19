"""Change: one thing that a replay does differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from chainrule.diagnosis.replaying.live import Live

Args = tuple[Any, ...]
Keywords = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One intervention; override what it acts on. It has to survive pickling.

    What it has to remember during a replay it keeps in ``live.memory(self)``.

    Attributes:
        hears: whether ``function`` is to be told of every PyTorch function that is called.
        at_setup: whether it acts on what the script does before its first step, so that the script
            is run again from its beginning.
        late: whether its ``after_step`` comes after those of others: it puts something back.
        settles_mode: whether networks are evaluated in evaluation mode with it.
        moves_loss: whether training losses with it and without it are not to be compared.

    Examples:
        >>> Change().title
        'nothing changed'
    """

    hears: ClassVar[bool] = False
    at_setup: ClassVar[bool] = False
    late: ClassVar[bool] = False
    moves_loss: ClassVar[bool] = False
    settles_mode: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What is changed, in a few words."""
        return "nothing changed"

    def set_up(self) -> None:
        """The script is about to begin; for changes with ``at_setup``."""

    def meet(self, live: Live, network: nn.Module) -> None:
        """A network is about to run its first training pass."""

    def forward(
        self, live: Live, network: nn.Module, args: Args, kwargs: Keywords
    ) -> tuple[Args, Keywords]:
        """Arguments of a network's forward pass, in training and evaluation."""
        return args, kwargs

    def returned(self, live: Live, network: nn.Module, output: Any) -> Any:
        """Output of a network's forward pass."""
        return output

    def function(self, live: Live, function: Any, args: Args, kwargs: Keywords) -> Any:
        """A PyTorch function in place of the call; NotImplemented leaves it as it is."""
        return NotImplemented

    def backward(self, live: Live, total: Tensor) -> Tensor:
        """The number that ``backward`` is called on."""
        return total

    def gradients(self, live: Live) -> None:
        """``backward`` has ended."""

    def before_step(self, live: Live, optimizer: Optimizer) -> None:
        """An optimizer is about to update."""

    def after_step(self, live: Live, optimizer: Optimizer) -> None:
        """An optimizer has updated."""

    def read(self, live: Live, prediction: Tensor) -> Tensor:
        """What the network says, on the scale of the script's targets, for the yardstick."""
        return prediction

    def go_on(self, live: Live) -> None:
        """The script has come to its end; training may go on."""
