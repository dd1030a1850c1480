//! Endpoints: URL, address policy, key ring, lifecycle.
