"""Any folder or zip of images, and the published sets that come as such: FFHQ, CLEVR, CelebA, Animal Face."""

from typing import Any, Literal, get_args

from dualgan.data.arguments import check_choice
from dualgan.data.files.decoding import Crop, ResizeFilter
from dualgan.data.sets.file_images import FileImages
from dualgan.data.sets.official_layout import SourceCard

FFHQFolder = Literal["images1024x1024", "thumbnails128x128"]
CLEVRSplit = Literal["train", "val", "test"]


class ImageFolder(FileImages):
    """Images of a folder (with all folders below it) or of a zip, in the order of their names.

    Images are what Pillow reads by content. Labels come from a dataset.json at the root, as in the zips of
    StyleGAN2-ADA: {"labels": [["00000/img00000000.png", 6], ...]}. Without one, every folder is a class.

    Args:
        root: Folder or zip of images, or folder of an LMDB.
        hint: What to download and where to put it; shown when there are no images at `root`.
        kwargs: Settings of all sets of image files.
    """

    def __init__(self, root: str, *, hint: str = "", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.hint = hint

    @property
    def advice(self) -> str:
        """The hint."""
        return self.hint


class FFHQ(FileImages):
    """Flickr-Faces-HQ: aligned faces, at 1024x1024, as thumbnails of 128x128, or exported at another size.

    Args:
        root: Folder or zip with images1024x1024, thumbnails128x128 or both, one of these itself, or any folder or zip
            of the images, such as a zip at 256x256.
        folder: Which of the two to read where both could be there.
        resize_filter: Pillow's filter for resizing; StyleGAN2's own files of FFHQ were made with a box filter.
        kwargs: Settings of all sets of image files.
    """

    card = SourceCard(
        name="FFHQ",
        size="70,000 aligned faces, 1024x1024 PNG, 89 GB; thumbnails 128x128, 2 GB",
        source="https://github.com/NVlabs/ffhq-dataset with 'python3 download_ffhq.py --images' (or --thumbs)",
        layout="a folder or zip with images1024x1024/00000/00000.png and so on (or thumbnails128x128/...), or any "
        "folder or zip of the images",
        licence="CC BY-NC-SA 4.0 and each photograph's own; not for commercial use",
    )

    def __init__(
        self,
        root: str = "data/ffhq",
        folder: FFHQFolder = "images1024x1024",
        resize_filter: ResizeFilter = "box",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, resize_filter=resize_filter, **kwargs)
        check_choice("folder", folder, FFHQFolder)
        self.folder = folder
        self.part = "" if folder == "images1024x1024" else f"folder '{folder}'"
        self.folders = folder, get_args(FFHQFolder)


class CLEVR(FileImages):
    """CLEVR v1.0: rendered objects on a ground plane, 480x320.

    Args:
        root: Folder CLEVR_v1.0 or CLEVR_v1.0.zip, or any folder or zip of the training images.
        split: "train" (70,000 images), "val" or "test" (15,000 each).
        kwargs: Settings of all sets of image files.
    """

    card = SourceCard(
        name="CLEVR v1.0",
        size="70,000 training images, 480x320 PNG, 18 GB with the other splits",
        source="https://cs.stanford.edu/people/jcjohns/clevr",
        layout="CLEVR_v1.0.zip, the folder it unpacks to with images/train, images/val and images/test, or any folder "
        "or zip of the training images",
        licence="CC BY 4.0",
    )

    def __init__(self, root: str = "data/clevr", split: CLEVRSplit = "train", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        check_choice("split", split, CLEVRSplit)
        self.split = split
        self.part = "" if split == "train" else f"split '{split}'"
        self.folders = f"images/{split}", [f"images/{name}" for name in get_args(CLEVRSplit)]


class CelebA(FileImages):
    """CelebA, aligned: faces of celebrities, 178x218.

    Args:
        root: Folder or zip img_align_celeba, or a folder that holds it.
        crop: Square that is kept: "celeba" is 128x128 around the face; exported square images need "none" or "center".
        kwargs: Settings of all sets of image files.
    """

    card = SourceCard(
        name="CelebA",
        size="202,599 aligned faces, 178x218 JPEG, 1.4 GB",
        source="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, file img_align_celeba.zip",
        layout="that zip, or its folder img_align_celeba with 000001.jpg and so on",
        licence="for non-commercial research only",
    )

    def __init__(self, root: str = "data/celeba", crop: Crop = "celeba", **kwargs: Any) -> None:
        super().__init__(root, crop=crop, **kwargs)
        self.folders = "img_align_celeba", ("img_align_celeba", "img_celeba", "img_align_celeba_png")


class AnimalFace(FileImages):
    """Animal Face: carnivorous animals' faces that FUNIT cuts out of ImageNet; `use_labels` numbers the kinds.

    Args:
        root: Folder or zip with a folder of crops for every kind of animal.
        kwargs: Settings of all sets of image files.
    """

    card = SourceCard(
        name="Animal Face",
        size="117,484 faces of 149 kinds of animals",
        source="https://github.com/NVlabs/FUNIT, whose script cuts them out of your copy of ImageNet's training images",
        layout="a folder or zip of the crops, with a folder for every kind",
        licence="ImageNet's terms, for non-commercial research",
    )

    def __init__(self, root: str = "data/animal_face", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
