"""What can be drawn, by name: from toy experiments, which run on the spot, and from records that are committed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from figures.beyond.deep import figb6, tableb6
from figures.beyond.estimators import figb4, figb5, tableb4, tableb5
from figures.beyond.toy import figb1, figb2, figb3, tableb1, tableb2
from figures.drawing import style
from figures.paper.deep import fig05, fig06, fig14, fig15, fig16, table01, table03, table04
from figures.paper.series import COMPARISONS, SCHEDULES
from figures.paper.toy import fig01, fig02, fig04, table_splits, table_toy
from figures.reading.variants import PAPER, Variant
from reference.console.records import Record
from toy.beyond import structure
from toy.data.datasets import OFFLINE


@dataclass(frozen=True)
class Entry:
    """A figure or a table.

    Args:
        needs: the experiments whose records it is drawn from.
        draw: the picture, or a table's files by name.
        data: of toy experiments, which are run on the spot: the data sets, at least.
        variants: of toy experiments: what each is run with.
        pending: what else must be measured on the spot, given the folder of records.
        make: the command that makes the records, where they are committed.
        shown: which of these it shows.
    """

    needs: tuple[str, ...]
    draw: Callable[[Sequence[Record]], Figure | dict[str, bytes]]
    data: tuple[str, ...] = ()
    variants: Sequence[Variant] = tuple(PAPER.values())
    pending: Callable[[Path], Sequence[structure.Job]] = lambda root: ()
    make: str = ""
    shown: Callable[[Sequence[Record]], list[Record]] = list


_ENTRIES: Mapping[str, Entry] = {
    "fig01": Entry(fig01.NEEDS, fig01.draw, fig01.DATA),
    "fig02": Entry(fig02.NEEDS, fig02.draw, fig02.DATA),
    **{name: Entry(figure.needs, figure.draw, OFFLINE) for name, figure in COMPARISONS.items()},
    "fig04": Entry(fig04.NEEDS, fig04.draw, OFFLINE),
    "table": Entry(table_toy.NEEDS, table_toy.files, OFFLINE),
    "figb1": Entry(figb1.NEEDS, figb1.draw, figb1.DATA, figb1.RUNS),
    **{name: Entry(figure.needs, figure.draw, OFFLINE, figb2.RUNS) for name, figure in figb2.COMPARISONS.items()},
    "tableb1": Entry(tableb1.NEEDS, tableb1.files, OFFLINE, tableb1.RUNS),
    "tableb2": Entry(figb1.NEEDS, tableb2.files, figb1.DATA, figb1.RUNS),
    "figb3": Entry(figb3.NEEDS, figb3.draw, pending=figb3.pending),
    "fig05": Entry(fig05.NEEDS, fig05.draw, make=fig05.MAKE, shown=fig05.shown),
    "fig06": Entry(fig06.NEEDS, fig06.draw, make=fig06.MAKE, shown=fig06.shown),
    **{
        name: Entry(figure.needs, figure.draw, make=figure.make, shown=figure.shown)
        for name, figure in SCHEDULES.items()
    },
    "fig14": Entry(fig14.NEEDS, fig14.draw, make=fig14.MAKE, shown=fig14.shown),
    "fig15": Entry(fig15.NEEDS, fig15.draw, make=fig15.MAKE, shown=fig15.shown),
    "fig16": Entry(fig16.NEEDS, fig16.draw, make=fig16.MAKE, shown=fig16.shown),
    "table01": Entry(table01.NEEDS, table01.files, make=table01.MAKE, shown=table01.shown),
    "table03": Entry(table03.NEEDS, table03.files, make=table03.MAKE, shown=table03.shown),
    "table04": Entry(table04.NEEDS, table04.files, make=table04.MAKE, shown=table04.shown),
    "splits": Entry(table_splits.NEEDS, table_splits.files, make=table_splits.MAKE, shown=table_splits.shown),
    "figb4": Entry(figb4.NEEDS, figb4.draw, make=figb4.MAKE, shown=figb4.shown),
    "figb5": Entry(figb5.NEEDS, figb5.draw, make=figb5.MAKE, shown=figb5.shown),
    "figb6": Entry(figb6.NEEDS, figb6.draw, make=figb6.MAKE, shown=figb6.shown),
    "tableb4": Entry(tableb4.NEEDS, tableb4.files, make=tableb4.MAKE, shown=tableb4.shown),
    "tableb5": Entry(tableb5.NEEDS, tableb5.files, make=tableb5.MAKE, shown=tableb5.shown),
    "tableb6": Entry(tableb6.NEEDS, tableb6.files, make=tableb6.MAKE, shown=tableb6.shown),
}
ALL = dict(sorted(_ENTRIES.items()))
RECORDED = tuple(name for name, entry in ALL.items() if entry.make)


def files(name: str, records: Sequence[Record], kind: str) -> dict[str, bytes]:
    """What a name stands for: files' names and contents."""
    content = ALL[name].draw(records)
    return {f"{name}.{kind}": style.encode(content, kind)} if isinstance(content, Figure) else content
