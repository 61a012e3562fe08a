"""What can be drawn, by name: figures and tables of the toy experiments, which run on the spot, and of deep ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from figures.beyond import figb1, figb2, figb2b, figb3, figb4, figb5, figb6, tableb1, tableb2, tableb4, tableb5, tableb6
from figures.drawing import style
from figures.paper import (
    fig01,
    fig02,
    fig03,
    fig04,
    fig05,
    fig06,
    fig07,
    fig08,
    fig09,
    fig10,
    fig11,
    fig12,
    fig13,
    fig14,
    fig15,
    fig16,
    table01,
    table03,
    table04,
    table_splits,
    table_toy,
)
from figures.reading.variants import Variant
from toy import structure
from toy.records import Record


class Needy(Protocol):
    """What is drawn from experiments' records."""

    @property
    def NEEDS(self) -> tuple[str, ...]: ...


class Toy(Needy, Protocol):
    """Each experiment with at least these data sets."""

    @property
    def DATA(self) -> tuple[str, ...]: ...


class Beyond(Toy, Protocol):
    """Not the paper's four methods at their own σ."""

    @property
    def RUNS(self) -> tuple[Variant, ...]: ...


class Measured(Needy, Protocol):
    """What is measured on the spot, without training runs of an experiment."""

    def pending(self, root: Path) -> Sequence[structure.Job]: ...


class Deep(Needy, Protocol):
    """What only draws: the command that makes the records, and which of them are shown."""

    @property
    def MAKE(self) -> str: ...

    def shown(self, records: Sequence[Record]) -> list[Record]: ...


class Picture(Protocol):
    """A figure's module."""

    def draw(self, records: Sequence[Record]) -> Figure: ...


class Table(Protocol):
    """A table's module."""

    def files(self, records: Sequence[Record]) -> dict[str, bytes]: ...


class ToyPicture(Toy, Picture, Protocol):
    """Figures of 5.1 and H.1."""


class DeepPicture(Deep, Picture, Protocol):
    """Figures of 5.2, 5.3, H and I."""


class MeasuredPicture(Measured, Picture, Protocol):
    """Figures beyond the paper that no training run is needed for."""


class ToyTable(Toy, Table, Protocol):
    """The table of 5.1."""


class DeepTable(Deep, Table, Protocol):
    """Tables of 5.2, 5.3, H and I."""


TOY_PICTURES: Mapping[str, ToyPicture] = {
    "fig01": fig01,
    "fig02": fig02,
    "fig03": fig03,
    "fig04": fig04,
    "fig07": fig07,
    "fig08": fig08,
    "fig09": fig09,
    "figb1": figb1,
    "figb2": figb2,
    "figb2b": figb2b,
}
DEEP_PICTURES: Mapping[str, DeepPicture] = {
    "fig05": fig05,
    "fig06": fig06,
    "fig10": fig10,
    "fig11": fig11,
    "fig12": fig12,
    "fig13": fig13,
    "fig14": fig14,
    "fig15": fig15,
    "fig16": fig16,
    "figb6": figb6,
}
MEASURED: Mapping[str, MeasuredPicture] = {"figb3": figb3}
TOY_TABLES: Mapping[str, ToyTable] = {"table": table_toy, "tableb1": tableb1, "tableb2": tableb2}
DEEP_TABLES: Mapping[str, DeepTable] = {
    "table01": table01,
    "table03": table03,
    "table04": table04,
    "tableb6": tableb6,
}

BEYOND: Mapping[str, Beyond] = {
    "figb1": figb1,
    "figb2": figb2,
    "figb2b": figb2b,
    "tableb1": tableb1,
    "tableb2": tableb2,
}
BENCH_PICTURES: Mapping[str, DeepPicture] = {"figb4": figb4, "figb5": figb5}
BENCH_TABLES: Mapping[str, DeepTable] = {"splits": table_splits, "tableb4": tableb4, "tableb5": tableb5}
"""Of many splits, the laboratory and benchmarks, whose records are committed as those of deep runs are."""

TOY: Mapping[str, Toy] = {**TOY_PICTURES, **TOY_TABLES}
DEEP: Mapping[str, Deep] = {**DEEP_PICTURES, **DEEP_TABLES}
RECORDED: Mapping[str, Deep] = {**DEEP, **BENCH_PICTURES, **BENCH_TABLES}
PICTURES: Mapping[str, Picture] = {**TOY_PICTURES, **DEEP_PICTURES, **MEASURED, **BENCH_PICTURES}
TABLES: Mapping[str, Table] = {**TOY_TABLES, **DEEP_TABLES, **BENCH_TABLES}
_EVERY: Mapping[str, Needy] = {**TOY, **MEASURED, **RECORDED}
ALL: Mapping[str, Needy] = {name: _EVERY[name] for name in sorted(_EVERY)}


def files(name: str, records: Sequence[Record], kind: str) -> dict[str, bytes]:
    """What a name stands for: files' names and contents."""
    if name in TABLES:
        return TABLES[name].files(records)
    return {f"{name}.{kind}": style.encode(PICTURES[name].draw(records), kind)}
