"""Shapes and types of every kernel and estimator are checked while the tests run."""

from jaxtyping import install_import_hook

KERNELS = ("information", "models.decoder", "models.rope", "models.sampling", "scoring.kernel")

install_import_hook([f"remid_jax.{module}" for module in KERNELS], "beartype.beartype").__enter__()
