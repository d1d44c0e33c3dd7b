"""Every key of the authors' YAML files, as pydantic models whose defaults are the published values.

A key is used; or *fixed*: other values mean networks that no published file uses and that are not built here; or
*unread* by the published code; or *idle*: read there, of no consequence here. Aliases are the authors' keys.
`reader` reads a file into these models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationError, create_model, field_validator
from pydantic_core import PydanticCustomError, core_schema

from perfrdiff.sampling import SamplingOptions

FIXED = object()  # marks a field that takes its default only


@dataclass(frozen=True)
class Expected:
    """Marks a used key, and says in words which values it takes."""

    words: str

    def __get_pydantic_core_schema__(self, source, handler):
        def check(value, inner):
            try:
                return inner(value)
            except ValidationError:
                raise PydanticCustomError("expected", "{words}", {"words": self.words}) from None

        return core_schema.no_info_wrap_validator_function(check, handler(source))


def _integer(low: int):
    return Annotated[int, Field(ge=low), Expected(f"a whole number of {low} or more")]


def _number(low: float, high: float | None = None):
    words = f"a number from {low:g}" + (f" to {high:g}" if high is not None else "")
    return Annotated[float, Field(ge=low, le=high, allow_inf_nan=False), Expected(words)]


def _pair(kind):
    return Annotated[tuple[kind, kind], Field(strict=False), Expected("a list of 2 values")]


NonNegativeInt, PositiveInt, IntFromTwo = _integer(0), _integer(1), _integer(2)
NonNegative, Fraction, Dropout, Temperature = _number(0), _number(0, 1), _number(0, 0.99), _number(1e-6)
Boolean = Annotated[bool, Expected("True or False")]
Layers = Annotated[tuple[str, ...], Field(strict=False, min_length=1), Expected("the layers to edit")]
OptionalText = str | None


class Section(BaseModel):
    """Keys with values; in Python they go by our names, in a file by the authors'."""

    model_config = ConfigDict(strict=True, frozen=True, validate_by_name=True)

    @field_validator("*")
    @classmethod
    def _fixed(cls, value, info):
        key = cls.model_fields[info.field_name]
        if FIXED in key.metadata and (value != key.default or isinstance(value, bool) != isinstance(key.default, bool)):
            raise PydanticCustomError("expected", "{words}", {"words": str(key.default).replace("'", "")})
        return value

    @classmethod
    def used(cls) -> list[str]:
        """Names of the fields that change something."""
        fields = cls.model_fields.items()
        return [name for name, key in fields if not key.json_schema_extra and FIXED not in key.metadata]


def _section(*bases: type, fixed: Mapping = MappingProxyType({}), unread=(), idle=(), **used) -> type[Section]:
    """A section of these keys: name = (type, default), a fixed value, or the reason why the value changes nothing."""
    keys = used | {name: (Annotated[Any, FIXED], value) for name, value in fixed.items()}
    for reasons, by_published_code in ((unread, True), (idle, False)):
        for name, reason in dict(reasons).items():
            extra = {"reason": reason, "by_published_code": by_published_code}
            keys[f"unused_{name}"] = (Any, Field(None, alias=name, json_schema_extra=extra))
    return create_model("Keys", __base__=bases or Section, **keys)


def _key(kind, default, alias: str):
    return kind, Field(default, alias=alias)


Kind, Arguments = TypeVar("Kind"), TypeVar("Arguments")


class TypedSection(Section, Generic[Kind, Arguments]):
    """A `type` and its `args`."""

    type: Kind
    args: Arguments = Field(default_factory=dict, validate_default=True)


class PretrainedSection(TypedSection[Kind, Arguments], Generic[Kind, Arguments]):
    """A network with the path of its weights."""

    checkpoint_path: OptionalText = None


class ScheduledSection(TypedSection[Kind, Arguments], Generic[Kind, Arguments]):
    """An optimizer with its learning rate schedule."""

    scheduler: Literal["cosine_annealing", "none", None] = "none"


ANY_LENGTH = "clips of any length are taken here"
StyleEncoderArgs = _section(
    coefficients=_key(PositiveInt, 58, "in_features"), width=_key(PositiveInt, 512, "embed_dim"),
    heads=_key(PositiveInt, 4, "num_heads"),
    layers=_key(PositiveInt, 4, "num_layers"), feedforward=_key(PositiveInt, 1024, "mlp_dim"),
    max_len=(IntFromTwo, 1000),
    projection=_key(PositiveInt, 512, "proj_dim"), dropout=_key(Dropout, 0.1, "drop_prob"),
    fixed={"proj_head": "mlp", "pos_encoding": "absolute", "embed_layer": "linear"},
    idle={"seq_len": ANY_LENGTH},
)  # fmt: skip
_AutoencoderArgs = _section(
    decoder_layers=_key(_pair(PositiveInt), (128, 128), "emb_dims"), hidden=_key(PositiveInt, 512, "hidden_dim"),
    code=_key(PositiveInt, 512, "z_dim"), window=_key(PositiveInt, 50, "window_size"),
    fixed={"rnn_type": "gru", "dropout": 0.0},
    unread={"num_layers": "one GRU cell whatever it says"},
    idle={"seq_len": ANY_LENGTH},
)  # fmt: skip
AutoencoderArgs = _section(
    _AutoencoderArgs, features=_key(PositiveInt, 25, "emotion_dim"), regressed=_key(PositiveInt, 58, "coeff_3dmm_dim")
)
CoefficientAutoencoderArgs = _section(
    _AutoencoderArgs, features=_key(PositiveInt, 58, "_3dmm_dim"), regressed=_key(PositiveInt, 25, "coeff_emotion_dim")
)
_DiffusionArgs = _section(
    window=_key(PositiveInt, 50, "window_size"),
    fixed={"freeze_encoder": True},
    unread={"emb_preprocessing": "never read"},
    idle={"token_len": ANY_LENGTH},
)
PriorArgs = _section(
    _DiffusionArgs,
    width=_key(PositiveInt, 512, "latent_dim"), audio=_key(PositiveInt, 78, "audio_dim"),
    coefficients=_key(PositiveInt, 58, "_3dmm_dim"),
    depth=(PositiveInt, 4), time_width=_key(IntFromTwo, 64, "num_time_emb_channels"),
    widening=_key(PositiveInt, 4, "ff_mult"),
    head_width=_key(IntFromTwo, 64, "dim_head"), speaker_emb_dim=(PositiveInt, 512),
    guidance_scale=(NonNegative, 1.0),
    s_audio_cond_drop_prob=(Fraction, 0.0), s_latentemb_cond_drop_prob=(Fraction, 0.0),
    s_3dmm_cond_drop_prob=(Fraction, 0.0),
    fixed={
        "num_time_layers": 2, "num_time_embeds": 1, "time_last_act": False, "norm_in": False, "norm_out": True,
        "attn_dropout": 0.0, "ff_dropout": 0.0, "final_proj": True, "normformer": False, "rotary_emb": True,
    },
    unread={
        "use_learned_query": "looked up under a misspelt name; the query is learned",
        "heads": "never passed on; 8 heads run",
    },
    idle={"window_sliding": "the decoder's counts"},
)  # fmt: skip
DROP_PREFIXES = ("l_latent_embed", "l_personal_embed", "s_audio_enc", "s_latent_embed", "s_3dmm_enc", "s_emotion_enc")
_DenoiserArgs = _section(  # under the authors' names, which `names.denoiser_config` takes
    _DiffusionArgs,
    latent_dim=(PositiveInt, 512), ff_size=(PositiveInt, 1024), num_layers=(PositiveInt, 7), dropout=(Dropout, 0.1),
    time_encoded_dim=(IntFromTwo, 64), guidance_scale=(NonNegative, 7.5), s_audio_dim=(PositiveInt, 78),
    s_3dmm_dim=(PositiveInt, 58),
    s_emotion_dim=(PositiveInt, 25), s_embed_dim=(PositiveInt, 512), l_embed_dim=(PositiveInt, 512),
    personal_emb_dim=(PositiveInt, 512),
    **{f"{name}_drop_prob": (Fraction, 0.2) for name in DROP_PREFIXES},
    fixed={
        "encode_emotion": False, "encode_3dmm": False, "ablation_skip_connection": True, "normalize_before": False,
        "activation": "gelu", "flip_sin_to_cos": True, "return_intermediate_dec": False, "arch": "trans_dec",
        "freq_shift": 0, "concat": "concat_first", "condition_concat": "token_concat", "use_past_frames": False,
    },
)  # fmt: skip
EmotionDenoiserArgs = _section(
    _DenoiserArgs,
    nfeats=Literal[25], num_heads=(PositiveInt, 4), past_l_emotion_drop_prob=(Fraction, 0.2),
    s_audio_scale=(NonNegative, None),  # latent_dim ** -0.5
    fixed={"position_embedding": "learned"},
    idle={"window_sliding": "the windows of this variant lie side by side"},
)  # fmt: skip
RenderDenoiserArgs = _section(
    _DenoiserArgs,
    nfeats=Literal[58], num_heads=(PositiveInt, 8), s_audio_scale=(NonNegative, 1.0),
    reaction_delay=(NonNegativeInt, 8),
    window_sliding=(PositiveInt, 25), past_l_3dmm_drop_prob=(Fraction, 0.2),
    fixed={"position_embedding": "sine", "use_attn_mask": True, "use_generated_pl": False},
    unread={"past_l_emotion_drop_prob": "past_l_3dmm_drop_prob is read in its place, 0.2 if absent"},
    idle={"period": "the masks' period is the window"},
)  # fmt: skip
Scheduler = _section(
    num_inference_timesteps=(IntFromTwo, 50), k=(PositiveInt, 10), eta=(Fraction, 0.0),
    fixed={
        "noise_schedule": "cosine", "timestep_spacing": "leading", "num_train_timesteps": 1000, "predict": "start_x",
        "rescale_timesteps": False, "noise_std": 1, "same_latent_noise": True,
    },
    idle={"var_type": "DDIM steps have no learned variance"},
)  # fmt: skip
PriorSection = _section(args=PriorArgs, scheduler=Scheduler, unread={"type": "never read"})
DenoiserSection = _section(
    args=Annotated[EmotionDenoiserArgs | RenderDenoiserArgs, Discriminator("nfeats")],
    scheduler=Scheduler,
    fixed={"type": "TransformerDenoiser"},
)
WeightEditorArgs = _section(
    style=_key(PositiveInt, 512, "input_dim"), hidden=_key(PositiveInt, 1024, "latent_dim"),
    embed_dim=(PositiveInt, 512),
    modified_layers=Layers, predict=(Literal["shift", "offset", "weight"], "shift"),
    modify=(Literal["all", "kv"], "all"), resume=(OptionalText, None),
    fixed={"regularization": False, "regular_w": 0.0, "num_shared_layers": 2},
)  # fmt: skip
LOSS_FIXED = {"losses_type": ["MSELoss", "MSELoss"], "losses_decoded": [False, True], "temporal_loss_w": 0.0}


class DiffusionLossSettings(_section(fixed=LOSS_FIXED)):
    """Weights of the two mean squared errors: of the prior's latent, and of the decoder's window."""

    losses_multipliers: _pair(NonNegative) = (1.0, 1.0)
    k: PositiveInt = 10


class AutoencoderLossSettings(Section):
    """Weights of the three terms."""

    frames: NonNegative = Field(1.0, alias="w_mse")
    kld: NonNegative = Field(1e-5, alias="w_kld")
    regressed: NonNegative = Field(1.0, alias="w_coeff")


class ContrastiveLossSettings(Section):
    """Temperatures of the supervised contrastive loss."""

    temperature: Temperature = 0.07
    base_temperature: Temperature = 0.07


AdamWArgs = _section(
    learning_rate=_key(NonNegative, 1e-4, "lr"),
    weight_decay=(NonNegative, 1e-4),
    betas=_key(_pair(Fraction), (0.9, 0.999), "beta"),
)
SgdArgs = _section(
    learning_rate=_key(NonNegative, 1e-3, "lr"), weight_decay=(NonNegative, 1e-4), momentum=(Fraction, 0.9)
)


def _optimizer(section_class: type):
    return Annotated[
        section_class[Literal["adamW"], AdamWArgs] | section_class[Literal["sgd"], SgdArgs], Discriminator("type")
    ]


WeightEditorSection = _section(
    TypedSection[Literal["MainNetUnified"], WeightEditorArgs],
    optimizer_hypernet=_optimizer(TypedSection),
    unread={"optimizer_mainnet": "only ever zeroes gradients; the generator is never stepped"},
)
TRAINER_IDLE = {"model": "the file's networks say which model it is", "num_workers": "the data set's own counts"}
TRAINER_IDLE |= dict.fromkeys(("log_dir", "tb_dir", "out_dir"), "the run's own folder takes its place")


class TrainerSettings(_section(fixed={"data_aug": False}, idle=TRAINER_IDLE)):
    """How long a stage trains, and where the published code keeps what."""

    seed: NonNegativeInt = 1234
    epochs: PositiveInt
    start_epoch: NonNegativeInt = 0
    clip_grad: bool = False  # to norm 5, as clip_grad_norm
    clip_grad_norm: bool = False
    save_period: PositiveInt = 50  # epochs
    val_period: PositiveInt = 50  # epochs
    resume: OptionalText = None
    checkpoint_dir: OptionalText = None
    saving_checkpoint_dir: OptionalText = None

    @property
    def clip_gradients(self) -> bool:
        return self.clip_grad or self.clip_grad_norm


LOAD_KEYS = "audio video video_s video_l emotion emotion_s emotion_l 3dmm 3dmm_s 3dmm_l ref"
DATA_IDLE = {f"load_{what}": "each stage loads what it needs" for what in LOAD_KEYS.split()}
DATA_IDLE |= dict.fromkeys(("img_size", "crop_size"), "no stage reads pictures")
DATA_IDLE |= {"threads": "the metrics take the processors there are"}
DATA_FIXED = {"fps": 25, "method": "speaker_based", "audio_model_name": "mfcc"}


class DataSettings(_section(fixed=DATA_FIXED, idle=DATA_IDLE)):
    """One split of the data set as a stage reads it."""

    split: Literal["train", "val", "test"]
    path: OptionalText = Field("./data", alias="dataset_path")
    batch_size: PositiveInt = 1
    shuffle: Boolean = False
    workers: NonNegativeInt = Field(16, alias="num_workers")
    clip_length: PositiveInt = 750  # frames
    targets: PositiveInt = Field(1, alias="k_appro")  # appropriate reactions (K) per speaker
    num_person: PositiveInt = 16  # style encoder: clips kept of a person (the published names are the other way round)
    num_sample: PositiveInt = 4  # style encoder: persons kept of an index entry


class _File(Section):
    trainer: TrainerSettings
    dataset: DataSettings
    validation_dataset: DataSettings | None = None
    test_dataset: DataSettings | None = None


StyleEncoderSection = PretrainedSection[Literal["Transformer"], StyleEncoderArgs]
AutoencoderSection = PretrainedSection[Literal["AutoencoderRNN_VAE_v2"], AutoencoderArgs]
CoefficientAutoencoderSection = PretrainedSection[Literal["AutoencoderRNN_VAE_v1"], CoefficientAutoencoderArgs]
AutoencoderLoss = TypedSection[Literal["MSELoss_AE_v2", "MSELoss_AE_v1"], AutoencoderLossSettings]


class DiffusionFile(_File):
    """What the generator's and the weight editor's file have in common."""

    person_specific: StyleEncoderSection
    audio_encoder: PretrainedSection[Literal["AudioEmbedder"], _section(skip_norm=(Boolean, True))]
    latent_embedder: AutoencoderSection
    latent_3dmm_embedder: CoefficientAutoencoderSection
    diffusion_prior: PriorSection
    diffusion_decoder: DenoiserSection
    loss: TypedSection[Literal["DiffusionLoss"], DiffusionLossSettings]


GeneratorFile = _section(DiffusionFile, optimizer=_optimizer(ScheduledSection))
WeightEditorFile = _section(DiffusionFile, main_model=WeightEditorSection)


class PretrainingFile(_File):
    """An autoencoder's, or the style encoder's."""

    model: Annotated[StyleEncoderSection | AutoencoderSection | CoefficientAutoencoderSection, Discriminator("type")]
    loss: Annotated[
        TypedSection[Literal["SupConLoss"], ContrastiveLossSettings] | AutoencoderLoss, Discriminator("type")
    ]
    optimizer: _optimizer(ScheduledSection)


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
class IgnoredKey:
    """A key whose value changes nothing."""

    key: str  # for instance "diffusion_prior.args.heads"
    reason: str
    by_published_code: bool  # False: the published code reads it, this project does not need it


@dataclass(frozen=True)
class PublishedConfig:
    """What a published YAML file says, as configurations of this project."""

    source: str  # the file's name
    stage: str  # "generator", "weight editor", "autoencoder" or "style encoder"
    variant: str | None  # "emotion" or "render"; None: the stage serves both
    networks: Mapping[str, object]  # name as in perfrdiff.checkpoints -> its configuration
    loss: DiffusionLossSettings | AutoencoderLossSettings | ContrastiveLossSettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    data: Mapping[str, DataSettings]  # "train", "val", "test"
    sampling: SamplingOptions | None = None  # how the generator is sampled
    samples: int | None = None  # reactions (K) per speaker in one call
    checkpoints: Mapping[str, str] = field(default_factory=dict)  # network -> published path of its weights
    ignored: tuple[IgnoredKey, ...] = ()
    unknown: tuple[str, ...] = ()  # keys that mean nothing here, each with the nearest known key
    defaulted: tuple[str, ...] = ()  # keys that the file leaves out; the published value stands for them
