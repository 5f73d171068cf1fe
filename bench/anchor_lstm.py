"""An LSTM that reads doses, samples and queries in order of time, forwards and backwards."""

from __future__ import annotations

import torch
from anchor_events import KINDS, Embedding, Events, Quantiles, taken
from torch import Tensor, nn


class LSTM(nn.Module):
    """Two layers (Hochreiter 1997, Neural Comput 9:1735; both ways, Graves 2005)."""

    name = "LSTM"

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed = Embedding(width)
        self.kind = nn.Parameter(0.1 * torch.randn(len(KINDS), width))
        self.read = nn.LSTM(width, width // 2, 2, batch_first=True, bidirectional=True)
        self.told = Quantiles(width)

    def forward(self, given: Events) -> tuple[Tensor, Tensor]:
        """Quantiles (patients, queries, LEVELS) and means (patients, queries)."""
        x, times = self.embed(given, KINDS)
        counts = torch.tensor([given.times[kind].shape[1] for kind in KINDS])
        x = x + self.kind.repeat_interleave(counts, dim=0)
        order = times.argsort(dim=1, stable=True)
        lengths = times.isfinite().sum(dim=1)
        packed = nn.utils.rnn.pack_padded_sequence(
            taken(x, order), lengths, batch_first=True, enforce_sorted=False
        )
        read = nn.utils.rnn.pad_packed_sequence(
            self.read(packed)[0], batch_first=True, total_length=times.shape[1]
        )[0]
        back = taken(read, order.argsort(dim=1))
        found: tuple[Tensor, Tensor] = self.told(back[:, -int(counts[-1]) :])
        return found
