//! What an attempt's outcome means.
