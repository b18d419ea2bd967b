"""metrics.csv: whole rows whenever the process is killed, and exactly those of the uninterrupted run after resuming."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from dualgan.files.atomic import append, write_whole
from dualgan.files.disk import naming
from dualgan.runs.clock import plain_kimg

Row = dict[str, Any]


class MetricsFile(ExperimentWriter):
    """Lightning's writer of metrics.csv, without its habit of deleting or emptying a file before writing it anew.

    Rows are appended and on the disk when `save` returns. A kill in the middle of it may leave a part of a row at the
    end, which nobody reads and the next start removes. With a new column the file is replaced as a whole.

    Args:
        log_dir: Folder of the file; the rows of an earlier part of the run are kept.
    """

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir=log_dir)
        self.path = Path(self.metrics_file_path)
        self.written = 0
        self._size: int | None = None
        if self.path.is_file():
            self._replace(self._rows_on_disk())

    def _check_log_dir_exists(self) -> None:
        """Leave what is there."""

    def save(self) -> None:
        """Write the rows that were logged since the last time."""
        if not self.metrics:
            return
        new_columns = self._record_new_keys()
        if new_columns or self._size is None or not self._is_as_left():
            self._replace(self._rows_on_disk()[: self.written] + self.metrics)
        else:
            self._append(self.metrics)
        self.metrics = []

    def keep(self, rows: int | None, kimg: float) -> None:
        """Forget the rows after a checkpoint: a resumed run writes them again.

        Args:
            rows: Rows at the time of the checkpoint; None where that is not known.
            kimg: Time of the checkpoint, for that case.
        """
        self.save()
        found = self._rows_on_disk()
        limit = kimg * (1 + 3e-7)  # logged values have 7 digits
        kept = [row for row in found if float(row.get("kimg", 0)) <= limit] if rows is None else found[:rows]
        if kept != found:
            self._replace(kept)

    def _is_as_left(self) -> bool:
        """Whether the file ends where the last write did: a full disk may have taken a part of a row only."""
        return self.path.is_file() and self.path.stat().st_size == self._size

    def _rows_on_disk(self) -> list[Row]:
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().decode().split("\n")[:-1]  # without what a kill has left of a last row
        return [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(lines)]

    def _append(self, rows: Sequence[Row]) -> None:
        append(self.path, self._text(rows))
        self._wrote(self.written + len(rows))

    def _replace(self, rows: Sequence[Row]) -> None:
        self.metrics_keys = sorted({key for row in rows for key in row})
        write_whole(self.path, self._text(rows, header=True))
        self._wrote(len(rows))

    def _wrote(self, rows: int) -> None:
        self.written, self._size = rows, self.path.stat().st_size

    def _text(self, rows: Sequence[Row], header: bool = False) -> bytes:
        if not self.metrics_keys:
            return b""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()


class RunCSVLogger(CSVLogger):
    """metrics.csv in the run's folder.

    Args:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: str | Path) -> None:
        super().__init__(save_dir=str(run_dir), name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> MetricsFile:
        """The file; the rows of an earlier part of this run are in it."""
        if self._experiment is None:
            self._experiment = MetricsFile(self.log_dir)
        assert isinstance(self._experiment, MetricsFile)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Add a row; without epochs, which mean nothing here, and with kimg free of float32's last digits."""
        row = {name: value for name, value in metrics.items() if name != "epoch"}
        if "kimg" in row:
            row["kimg"] = plain_kimg(row["kimg"])
        super().log_metrics(row, step)

    @rank_zero_only
    def save(self) -> None:
        """Write the rows."""
        with naming(self.experiment.path):
            super().save()
