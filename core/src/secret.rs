//! Secrets: shared keys of endpoints and receivers.
