"""`dualgan dashboard`: a W&B workspace that shows runs side by side."""

from typing import Any

from dualgan.commands.shared.verbs import command
from dualgan.comparison.dashboard import NAME, build_workspace, load_extra

LOGIN = "log in with 'wandb login', or set WANDB_API_KEY, and try again"


def default_entity() -> str:
    """The logged-in user's own entity.

    Raises:
        ValueError: Nobody is logged in, or W&B cannot be reached.
    """
    import wandb

    if not wandb.login(prompt=False):
        raise ValueError(f"a dashboard needs a login to W&B, and there is none: {LOGIN}")
    try:
        entity = wandb.Api().default_entity
    except Exception as error:  # the client raises its transport's own errors
        raise ValueError(_unreachable(error)) from error
    if not entity:
        raise ValueError("W&B names no entity for this login: give yours with --entity")
    return str(entity)


def save(workspace: Any) -> str:
    """Create the workspace on W&B; returns its address.

    Raises:
        ValueError: W&B refuses it or cannot be reached.
    """
    try:
        return str(workspace.save().url)
    except Exception as error:  # as above
        raise ValueError(
            f"{_unreachable(error)}. Check that the project '{workspace.entity}/{workspace.project}' is there: it "
            f"appears with the first run that is synced to it"
        ) from error


def _unreachable(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"W&B did not answer as hoped ({type(error).__name__}: {reason}): check the network, or {LOGIN}"


def run(entity: str | None = None, project: str = "dualgan", name: str = NAME) -> None:
    """Create a workspace on W&B with samples, quality, losses, contrast and speed of a project's runs over kimg.

    Args:
        entity: User or team that the project belongs to; by default the logged-in user.
        project: Project that the runs are in, --wandb.project of 'dualgan fit'.
        name: Name of the workspace. Each call makes a new one.
    """
    load_extra()
    owner = default_entity()
    print(f"Made {save(build_workspace(entity or owner, project, name))}")


main = command("dashboard", run)
