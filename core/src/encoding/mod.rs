//! Event to body, content type and headers.
