"""metrics.csv: whole rows whenever the process is killed, and exactly those of the uninterrupted run after resuming."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from dualgan.files.atomic import append, naming, write_whole
from dualgan.runs.clock import plain_kimg
from dualgan.runs.folder import METRICS

Row = dict[str, Any]


class MetricsFile(Logger):
    """metrics.csv in the run's folder, as a logger of Lightning's trainer; of several processes, rank zero writes.

    Lightning's own CSV logger deletes or empties a file before it writes it anew. Here rows are appended, and are on
    the disk when `save` returns. A kill in the middle of it may leave a part of a row at the end, which nobody reads
    and the next start removes. With a new column the file is replaced as a whole.

    Args:
        run_dir: The run's folder; the rows of an earlier part of the run are kept.

    Attributes:
        written: Rows on the disk, as far as this process has looked.
    """

    name = version = save_dir = ""  # Lightning's own loggers make folders of these below the run's

    def __init__(self, run_dir: str | Path) -> None:
        super().__init__()
        self.path, self.save_dir = Path(run_dir) / METRICS, str(run_dir)
        self.written = 0
        self._columns: list[str] = []
        self._waiting: list[Row] = []
        self._size: int | None = None  # of the file after the last write; None before the first look

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Add a row; without epochs, which mean nothing here, and with kimg free of float32's last digits."""
        row = {name: value for name, value in metrics.items() if name != "epoch"} | {"step": step}
        if "kimg" in row:
            row["kimg"] = plain_kimg(row["kimg"])
        self._waiting.append(row)

    @rank_zero_only
    def save(self) -> None:
        """Write the rows that were logged since the last time.

        Raises:
            OSError: They cannot be written; it names the file, and the rows wait for the next time.
        """
        if not self._waiting:
            return
        with naming(self.path):
            self._look()
            known = {name for row in self._waiting for name in row} <= set(self._columns)
            if known and self._is_as_left():
                append(self.path, self._text(self._waiting))
                self._wrote(self.written + len(self._waiting))
            else:
                self._replace(self._rows_on_disk()[: self.written] + self._waiting)
        self._waiting = []

    @rank_zero_only
    def keep(self, rows: int | None, kimg: float) -> None:
        """Forget the rows after a checkpoint: a resumed run writes them again.

        Args:
            rows: Rows at the time of the checkpoint; None where that is not known.
            kimg: Time of the checkpoint, for that case.
        """
        self.save()
        self._look()
        found = self._rows_on_disk()
        limit = kimg * (1 + 3e-7)  # logged values have 7 digits
        kept = [row for row in found if float(row.get("kimg", 0)) <= limit] if rows is None else found[:rows]
        if kept != found:
            self._replace(kept)

    def _look(self) -> None:
        """Take up the rows of an earlier part of the run, once."""
        if self._size is None and self.path.is_file():
            self._replace(self._rows_on_disk())

    def _is_as_left(self) -> bool:
        """Whether the file ends where the last write did: a full disk may have taken a part of a row only."""
        return self.path.is_file() and self.path.stat().st_size == self._size

    def _rows_on_disk(self) -> list[Row]:
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().decode().split("\n")[:-1]  # without what a kill has left of a last row
        return [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(lines)]

    def _replace(self, rows: Sequence[Row]) -> None:
        self._columns = sorted({name for row in rows for name in row})
        write_whole(self.path, self._text(rows, header=True))
        self._wrote(len(rows))

    def _wrote(self, rows: int) -> None:
        self.written, self._size = rows, self.path.stat().st_size

    def _text(self, rows: Sequence[Row], header: bool = False) -> bytes:
        if not self._columns:
            return b""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self._columns)
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
