"""Build a network from its spec, with fresh weights, with others' or with those of a checkpoint."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from slrbench.errors import BadInputError
from slrbench.models.ctc_head import Recogniser
from slrbench.models.i3d import Teacher
from slrbench.models.spec import ModelSpec


def build_model(spec: ModelSpec, *, init: Path | None = None, imagenet: bool = False) -> Recogniser:
    """Build the network of ``spec``, in training mode.

    Args:
        spec: dimensions; fresh weights come from torch's global random generator.
        init: a state dict of the public PyTorch I3D for the teacher's backbone, or of torchvision's MobileNetV3,
            trained on ImageNet, for the student's.
        imagenet: start the student's MobileNetV3 from torchvision's ImageNet weights, downloaded.

    Raises:
        BadInputError: ``init`` cannot be used, or what was asked for does not belong to this network.
        UnavailableError: the ImageNet weights cannot be downloaded.
    """
    if spec.architecture == "teacher":
        if imagenet:
            raise BadInputError("ImageNet weights are the student's", hint="the teacher starts from --init FILE.pt")
        teacher = Teacher(spec)
        if init is not None:
            from slrbench.models.pretrained import load_i3d

            load_i3d(teacher.backbone, init)
        return teacher
    if imagenet and init is not None:
        raise BadInputError("the student cannot start from two sets of weights", hint="give --init or --imagenet")
    if imagenet and spec.width_mult != 1.0:
        raise BadInputError(
            f"there are ImageNet weights for width_mult 1 only, not for {spec.width_mult:g}", hint="set width_mult=1"
        )
    # torchvision takes as long to load as torch, and brings torch's compiler along: a teacher does without.
    from slrbench.models.mobilenetv3 import Student

    student = Student(spec)
    if imagenet:
        from slrbench.models.pretrained import load_imagenet

        load_imagenet(student.features, spec.variant)
    if init is not None:
        from slrbench.models.pretrained import load_mobilenetv3

        load_mobilenetv3(student.features, init, spec.variant)
    return student


def load_weights(spec: ModelSpec, path: Path) -> Recogniser:
    """Build the network of ``spec`` with the weights of a safetensors file, in evaluation mode.

    Raises:
        BadInputError: the file cannot be read, or does not hold the weights of this network.
    """
    model = build_model(spec)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise BadInputError(f"{path} cannot be read as safetensors: {error}", hint="copy it again, or train") from error
    except RuntimeError as error:  # names the missing and unexpected keys and the wrong shapes
        raise BadInputError(
            f"{path} does not hold the weights of this {spec.architecture}: {error}",
            hint="weights and checkpoint.json belong together; copy both from the same folder",
        ) from error
    return model.eval()
