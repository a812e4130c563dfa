//! Resolves secret handles at the boundary. (Signatures agreed; body follows.)

use std::sync::Arc;

use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::secret::Redactor;

/// Resolves handles `{"$secret": {"provider": "env|file|dotenv|sealed", "name": …, "path": …}}`, and teaches the redactor
/// what it resolved.
pub struct Secrets {
    redactor: Arc<Redactor>,
    /// The store's key, which seals literal secret parameters.
    key: [u8; 32],
}

impl Secrets {
    /// With this key and redactor.
    #[must_use]
    pub fn new(key: [u8; 32], redactor: Arc<Redactor>) -> Self {
        Self { redactor, key }
    }

    /// The contents behind a handle.
    ///
    /// # Errors
    /// Credentials, when the source is not there; refused, when the handle is none.
    pub fn resolve(&self, handle: &Value) -> Result<String, OpError> {
        let _ = (handle, self.key, &self.redactor);
        Err(OpError::refused("not built yet"))
    }
}
