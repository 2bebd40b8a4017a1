"""Training on one device, on real images: what the algorithms of the sources do to accuracy, t_grad and payload."""

from .learner import Epoch, Learner
from .phases import learned_profile
from .settings import Settings

__all__ = ["Epoch", "Learner", "Settings", "learned_profile"]
