//! Signature schemes, sign and verify side by side.
