//! Webhooks that arrive: sender and receiver for applications.
