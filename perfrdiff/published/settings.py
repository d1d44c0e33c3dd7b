"""What the published YAML files set, as this project's own typed settings; `yaml_config` reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ignored:
    """A key whose value changes nothing."""

    key: str  # for instance "diffusion_prior.args.heads"
    reason: str
    by_published_code: bool  # False: the published code reads it, this project needs it not


@dataclass(frozen=True)
class SamplingSettings:
    """How the generator is sampled."""

    steps: int
    guidance: float
    eta: float
    slide: int  # new frames per window
    samples: int  # reactions (K) per speaker in one call
    audio_range: bool  # scale the speaker's audio to 0 … 1 (render)
    prior_steps: int
    prior_guidance: float


@dataclass(frozen=True)
class DiffusionLossSettings:
    """Weights of the two mean squared errors."""

    latent: float  # of the prior
    window: float  # of the decoder


@dataclass(frozen=True)
class AutoencoderLossSettings:
    """Weights of the three terms."""

    frames: float
    kld: float
    regressed: float


@dataclass(frozen=True)
class ContrastiveLossSettings:
    """Temperatures of the supervised contrastive loss."""

    temperature: float
    base_temperature: float


@dataclass(frozen=True)
class OptimizerSettings:
    """The one optimizer of a stage."""

    name: str  # "adamw" or "sgd"
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float] | None = None  # adamw
    momentum: float | None = None  # sgd
    cosine: bool = False  # cosine annealing


@dataclass(frozen=True)
class TrainerSettings:
    """How long a stage trains, and where it keeps what."""

    seed: int
    epochs: int
    start_epoch: int
    clip_gradients: bool  # to norm 5 (docs/method.md 9.1)
    save_period: int  # epochs
    val_period: int  # epochs
    resume: str | None
    checkpoint_dir: str | None
    saving_checkpoint_dir: str | None


@dataclass(frozen=True)
class DataSettings:
    """One split of the data set as a stage reads it."""

    split: str
    path: str
    batch_size: int
    shuffle: bool
    workers: int
    clip_length: int  # frames
    targets: int  # appropriate reactions (K) per speaker
    num_person: int  # style encoder: clips kept of a person (the published names are the other way round)
    num_sample: int  # style encoder: persons kept of an index entry


@dataclass(frozen=True)
class PublishedConfig:
    """What a published YAML file says, in this project's terms."""

    source: str  # the file's name
    stage: str  # "generator", "weight editor", "autoencoder" or "style encoder"
    variant: str | None  # "emotion" or "render"; None: the stage serves both
    networks: Mapping[str, object]  # name as in perfrdiff.checkpoints -> its configuration
    loss: DiffusionLossSettings | AutoencoderLossSettings | ContrastiveLossSettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    data: Mapping[str, DataSettings]  # "train", "val", "test"
    sampling: SamplingSettings | None = None
    prior_drop_probability: Mapping[str, float] = field(default_factory=dict)
    checkpoints: Mapping[str, str] = field(default_factory=dict)  # network -> published path of its weights
    ignored: tuple[Ignored, ...] = ()
    unknown: tuple[str, ...] = ()  # keys that mean nothing here, with the likeliest that was meant
    defaulted: tuple[str, ...] = ()  # keys that the file leaves out; the published value stands for them
