"""The comparisons behind `renderer.conformance`: every kind of fixture file, and what is computed for it."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from renderer.errors import RenderError
from renderer.face_model import EXPRESSION_NAMES, convert_faceverse, load_face_model, project, rotation_matrix
from renderer.faceverse import FaceVerse, default_vector, split_vector
from renderer.portrait.pirender.architecture import (
    ORIGINAL_WIDTH,
    WINDOW,
    Architecture,
    expected_shapes,
    read_architecture,
)
from renderer.portrait.pirender.network import Network
from renderer.portrait.pirender.reference import ReferencePIRender, sampling_grid, upsample_grid, warp_image
from renderer.portrait.pirender.synthetic_weights import synthetic_tensor, synthetic_weights
from renderer.portrait.pirender.windows import window_indices, windows

# Largest absolute differences that still count as the same, in the quantity's own unit: five times or more what two
# independent float32 implementations were seen to differ by (docs/method.md 17.2).
SMALL_NETWORK, FULL_NETWORK, ACTIVATION = 1e-4, 2e-4, 4e-4
EXACT = 0.0
GEOMETRY, PIXELS, NORMALS, COLOURS, TEXTURES = 2e-6, 2e-4, 4e-5, 5e-3, 2e-4
FOCAL = 1315.0


@dataclass(frozen=True)
class Deviation:
    """One comparison with stored numbers."""

    name: str
    max_abs_error: float  # largest absolute difference; infinite for another shape or a NaN on one side
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.max_abs_error <= self.tolerance


def compare(name: str, actual: np.ndarray | Tensor, expected: np.ndarray | Tensor, tolerance: float) -> Deviation:
    """The largest absolute difference of two arrays of one shape."""
    actual, expected = (np.asarray(value, np.float64) for value in (actual, expected))
    if actual.shape != expected.shape:
        return Deviation(f"{name}: shape {actual.shape} instead of {expected.shape}", float("inf"), tolerance)
    difference = np.abs(actual - expected)
    difference[np.isnan(difference)] = np.inf
    return Deviation(name, float(difference.max(initial=0.0)), tolerance)


def run_folder(folder: Path, only: str = "") -> Iterator[Deviation]:
    """Every comparison of every fixture file of a folder, in order of name.

    Raises RenderError if there is no such folder, no fixture in it, or a fixture's weights are missing.
    """
    if not folder.is_dir():
        raise RenderError(f"There is no folder {folder}; give the folder with the fixture files.")
    any_fixture = False
    for path in sorted(folder.iterdir()):
        check = _check_of(path) if only in path.name else None
        if check is not None:
            any_fixture = True
            with torch.inference_mode():
                yield from check(path)
    if not any_fixture:
        raise RenderError(f"There is no renderer fixture in {folder}{f' with {only!r} in its name' * bool(only)}.")


def _check_of(path: Path) -> Callable[[Path], Iterator[Deviation]] | None:
    """What to do with a file; None for one that holds weights, timings, or nothing of ours."""
    if path.suffix == ".safetensors":
        return _check_network if "in/driving_source" in _shapes_in(path) else None
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            keys = archive.files
        if any(key.startswith("windows_") for key in keys):
            return _check_windows
        return _check_faceverse if any(key.endswith("/packed") for key in keys) else None
    if path.suffix == ".json":
        fixture = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(fixture, dict) and "sum_and_abssum" in fixture:
            return _check_synthetic_weights
        if isinstance(fixture, dict) and "mapping_net.first.0.weight" in fixture:
            return _check_tensor_shapes
        return _check_names if "browDownLeft" in path.read_text(encoding="utf-8") else None
    return None


# --- PIRender --------------------------------------------------------------------------------------------------------


def _check_network(path: Path) -> Iterator[Deviation]:
    """The reference network layer by layer, then the fast one, then the original's form of the same weights."""
    fixture = load_file(path)
    image, driving = fixture["in/input_image"], fixture["in/driving_source"]
    weights, architecture, tolerance = _weights_for(path, fixture)
    name = path.stem
    reference = ReferencePIRender(weights, architecture)
    reference.activations = {}
    outputs = reference.outputs(image, driving)
    for key, actual in outputs.items():
        yield compare(f"{name} {key}", actual, fixture[f"out/{key}"], tolerance)
    activation_keys = [key for key in fixture if key.startswith("act/")]
    if activation_keys:
        worst_layer = max(
            (
                compare(key, reference.activations[key.removeprefix("act/")][:1], fixture[key], ACTIVATION)
                for key in activation_keys
            ),
            key=lambda deviation: deviation.max_abs_error,
        )
        yield Deviation(
            f"{name} {len(activation_keys)} layers, worst {worst_layer.name[4:]}", worst_layer.max_abs_error, ACTIVATION
        )
    if "out/deformation_lowres" in fixture:
        low_resolution = sampling_grid(outputs["flow_field"])
        yield compare(f"{name} deformation_lowres", low_resolution, fixture["out/deformation_lowres"], tolerance)
        upsampled = upsample_grid(low_resolution, *image.shape[2:])
        yield compare(f"{name} deformation_fullres", upsampled, fixture["out/deformation_fullres"], tolerance)
    if "out/zero_flow_warp" in fixture:
        identity_warp = warp_image(image, sampling_grid(torch.zeros_like(outputs["flow_field"])))
        yield compare(f"{name} zero_flow_warp", identity_warp, fixture["out/zero_flow_warp"], tolerance)
    yield from _check_optimised_network(name, weights, architecture, fixture, tolerance)
    if architecture.is_react:
        original = {key: value for key, value in weights.items() if not key.startswith("mapping_net.pre.")}
        layer = weights["mapping_net.pre.weight"], weights["mapping_net.pre.bias"]
        mapped = torch.nn.functional.conv1d(driving, *layer)
        original_form = ReferencePIRender(
            original, Architecture(**(vars(architecture) | {"coefficients": ORIGINAL_WIDTH}))
        )
        yield compare(
            f"{name} original form, fake_image", original_form.outputs(image, mapped)["fake_image"],
            fixture["out/fake_image"], tolerance,
        )  # fmt: skip


def _check_optimised_network(
    name: str, weights: dict, architecture: Architecture, fixture: dict, tolerance: float
) -> Iterator[Deviation]:
    network = Network(weights, architecture)
    network.use_winograd()
    parts: dict[str, list[Tensor]] = {"descriptor": [], "flow_field": [], "fake_image": []}
    for image, driving in zip(fixture["in/input_image"], fixture["in/driving_source"], strict=True):
        source = network.source(image[None])
        descriptor = network.descriptors(driving.T)
        modulations = network.modulations(descriptor)
        parts["descriptor"].append(descriptor[:, :, None])
        parts["flow_field"].append(network.flow(source, network.styles(modulations)))
        parts["fake_image"].append(network(source, modulations))
    for key, values in parts.items():
        yield compare(f"{name} fast {key}", torch.cat(values), fixture[f"out/{key}"], tolerance)
    pair = network.modulations(descriptor.expand(2, -1))
    yield compare(
        f"{name} fast, batched, fake_image", network(source, pair)[:1], fixture["out/fake_image"][-1:], tolerance
    )


def _weights_for(path: Path, fixture: dict[str, Tensor]) -> tuple[dict[str, Tensor], Architecture, float]:
    """The weights of a fixture: the file beside it with fitting sizes and the likest name, or synthetic ones."""
    descriptor, width = fixture["out/descriptor"].shape[1], fixture["in/driving_source"].shape[1]
    fitting = []
    for sibling in path.parent.glob("*.safetensors"):
        architecture = read_architecture(_shapes_in(sibling))
        if architecture is not None and (architecture.descriptor, architecture.coefficients) == (descriptor, width):
            fitting.append((_common_prefix_length(sibling.name, path.name), sibling, architecture))
    if fitting:
        _, sibling, architecture = max(fitting, key=lambda each: each[0])
        return (
            load_file(sibling),
            architecture,
            SMALL_NETWORK if descriptor < Architecture().descriptor else FULL_NETWORK,
        )
    architecture = Architecture(coefficients=width)
    if architecture.descriptor != descriptor:
        raise RenderError(f"The weights of {path.name} are not beside it: a descriptor of {descriptor} channels.")
    return synthetic_weights(architecture), architecture, FULL_NETWORK


def _common_prefix_length(one: str, other: str) -> int:
    """Letters that two names have in common from the beginning."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise RenderError(f"{path} cannot be read as safetensors; get the file again.") from error


def _check_tensor_shapes(path: Path) -> Iterator[Deviation]:
    """Names and shapes that differ from ours, counted."""
    fixture = {name: tuple(shape) for name, shape in json.loads(path.read_text(encoding="utf-8")).items()}
    expected = expected_shapes(read_architecture(fixture) or Architecture())
    differing = {name for name in fixture.keys() | expected.keys() if fixture.get(name) != expected.get(name)}
    yield Deviation(f"{path.stem}: {len(fixture)} names and shapes", float(len(differing)), EXACT)


def _check_synthetic_weights(path: Path) -> Iterator[Deviation]:
    fixture, table = json.loads(path.read_text(encoding="utf-8")), expected_shapes(Architecture())
    for name, (total, absolute) in fixture["sum_and_abssum"].items():
        values = synthetic_tensor(name, table[name])
        sums = [float(values.double().sum()), float(values.double().abs().sum())]
        yield compare(f"{path.stem} {name} sums", sums, [total, absolute], 1e-6)
        first = fixture["first4"][name]
        yield compare(f"{path.stem} {name} first", values.flatten()[: len(first)], first, 1e-9)


def _check_windows(path: Path) -> Iterator[Deviation]:
    fixture = dict(np.load(path, allow_pickle=False))
    for key in sorted(key for key in fixture if key.startswith("seq_")):
        sequence, number = fixture[key], key.removeprefix("seq_")
        yield compare(f"{path.stem} index_{number}", window_indices(len(sequence)), fixture[f"index_{number}"], EXACT)
        yield compare(f"{path.stem} windows_{number}", windows(sequence), fixture[f"windows_{number}"], EXACT)
        for name in sorted(name for name in fixture if name.startswith(f"descriptor_{number}_")):
            yield _sequence_descriptors(path, name, sequence, fixture[name])


def _sequence_descriptors(path: Path, name: str, sequence: np.ndarray, expected: np.ndarray) -> Deviation:
    for sibling in sorted(path.parent.glob("*.safetensors")):
        architecture = read_architecture(_shapes_in(sibling))
        if architecture is not None and (architecture.coefficients, architecture.descriptor) == (
            sequence.shape[1],
            expected.shape[1],
        ):
            half_window = WINDOW // 2
            padded = np.pad(sequence, ((half_window, half_window), (0, 0)), mode="edge")
            actual = Network(load_file(sibling), architecture).descriptors(torch.from_numpy(padded))
            return compare(f"{path.stem} {name}, as one sequence", actual, expected, SMALL_NETWORK)
    raise RenderError(f"The weights of {name} in {path.name} are not beside it.")


# --- FaceVerse -------------------------------------------------------------------------------------------------------


def _check_names(path: Path) -> Iterator[Deviation]:
    """The file's 52 names against ours, by index; FaceVerse capitalises MouthLeft and MouthRight."""
    rows = json.loads(path.read_text(encoding="utf-8"))["names"]
    pairs = [(EXPRESSION_NAMES[row["index"]], row["faceverse"]) for row in rows]
    differing = sum(
        local_name != published_name[:1].lower() + published_name[1:] for local_name, published_name in pairs
    )
    yield Deviation(f"{path.stem}: {len(rows)} names", float(differing + abs(len(rows) - len(EXPRESSION_NAMES))), EXACT)


def _check_faceverse(path: Path) -> Iterator[Deviation]:
    fixture = dict(np.load(path, allow_pickle=False))
    full, reduced = _models_for(path, fixture)
    if "defaults/packed" in fixture:
        yield compare(f"{path.stem} defaults", default_vector(), fixture["defaults/packed"], EXACT)
    for case in sorted({key.split("/")[0] for key in fixture if key.endswith("/vertices_object")}):
        vertices = fixture[f"{case}/vertices_object"].shape[1]
        model = full if vertices == len(full.face.mean_shape) else reduced
        expected = {key.split("/")[1]: value for key, value in fixture.items() if key.startswith(f"{case}/")}
        # v runs up in one and down in the other of the two projections: together they are the image's size
        size = round(float(expected["projected_raw"][0, 0, 1] + expected["projected_image"][0, 0, 1]))
        for name, (actual, tolerance) in _faceverse_outputs(model, expected["packed"], size).items():
            if name in expected:
                yield compare(f"{path.stem} {case}/{name}", actual, expected[name], tolerance)
    for key in sorted(key for key in fixture if key.endswith("/rendered")):
        case = key.split("/")[0]
        focal, size = fixture[f"{case}/focal_size"]
        yield from _check_images(f"{path.stem} {case}", full, fixture, case, float(focal), int(size))


def _check_images(
    name: str, model: FaceVerse, fixture: dict, case: str, focal: float, size: int
) -> Iterator[Deviation]:
    """A raster image; grey or textured is read off it, since textured pictures have colours."""
    expected, packed = fixture[f"{case}/rendered"], fixture[f"{case}/packed"]
    yield compare(f"{name}/vertices_world", model.world_vertices(packed), fixture[f"{case}/vertices_world"], GEOMETRY)
    textured = bool(np.ptp(expected[..., :3], axis=-1).max() > 1e-3)
    if textured:  # a grey picture was made with all colours at 200
        yield compare(f"{name}/color_lit", model.colours(packed), fixture[f"{case}/color_lit"], COLOURS)
    actual = model.images(packed, size, focal, textured)
    yield compare(f"{name}/rendered, colours", actual[..., :3], expected[..., :3], COLOURS)
    yield compare(f"{name}/rendered, coverage", actual[..., 3], expected[..., 3], EXACT)


def _faceverse_outputs(model: FaceVerse, packed: np.ndarray, size: int) -> dict[str, tuple[np.ndarray, float]]:
    """Everything the fixtures hold of one batch: name -> our value and the tolerance."""
    world = model.world_vertices(packed)
    image = project(world, size, FOCAL)
    return {
        "vertices_object": (model.vertices(packed), GEOMETRY),
        "rotation_row": (rotation_matrix(split_vector(packed).rotation).transpose(0, 2, 1), GEOMETRY),
        "vertices_rotated_only": (model.rotated_vertices(packed), GEOMETRY),
        "vertices_world": (world, GEOMETRY),
        "projected_image": (image, PIXELS),
        "projected_raw": (np.stack([image[..., 0], size - image[..., 1]], axis=-1), PIXELS),
        "normals_object": (model.normals(packed, as_published=True), NORMALS),
        "normals_object_per_item": (model.normals(packed), NORMALS),
        "normals_rotated": (model.normals_rotated(packed, as_published=True), NORMALS),
        "texture": (model.albedo(packed), TEXTURES),
        "color_lit": (model.colours(packed, as_published=True), COLOURS),
        "color_lit_per_item": (model.colours(packed), COLOURS),
        "lms_proj": (model.landmarks(packed, size, FOCAL), PIXELS),
        "lms_proj_fast": (model.landmarks(packed, size, FOCAL, fitting=True), PIXELS),
    }


def _models_for(path: Path, fixture: dict[str, np.ndarray]) -> tuple[FaceVerse, FaceVerse]:
    """The full and the reduced model beside a fixture: the first whose vertices are the fixture's."""
    counts = {value.shape[1] for key, value in fixture.items() if key.endswith("/vertices_object")}
    for sibling in sorted([*path.parent.glob("*.npz"), *path.parent.glob("*.npy")]):
        if sibling == path:
            continue
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the command's help says that a pickle is read
            npz_path = sibling
            try:
                if sibling.suffix == ".npy":
                    npz_path = Path(folder) / "model.npz"
                    convert_faceverse(sibling, npz_path)
                full, reduced = FaceVerse(load_face_model(npz_path)), FaceVerse(load_face_model(npz_path, reduced=True))
            except (RenderError, KeyError, AttributeError, ValueError):
                continue  # another array of the folder
        if counts <= {len(full.face.mean_shape), len(reduced.face.mean_shape)}:
            return full, reduced
    raise RenderError(f"The face model of {path.name} is not beside it.")
