//! What bounds the work of a filter, and the memory of a flattened event.

/// Longest text of a filter, in bytes. EventBridge itself allows 2,048.
pub const FILTER_BYTES: usize = 16 * 1024;

/// Deepest nesting of a filter, and most segments of a path in it: a field that lies deeper cannot be named.
pub const FILTER_DEPTH: usize = 64;

/// Alternatives in the list of one field, exact texts aside (those are looked up, the others tried one by one).
pub const ALTERNATIVES: usize = 256;

/// Branches that a filter may come to when each combination of its `$or`s (or `any`s) is written out.
pub const BRANCHES: usize = 1000;

/// Conditions in one branch: as many fields may be named.
pub const CONDITIONS: usize = 256;

/// Conditions over all branches together.
pub const TERMS: usize = 16 * 1024;

/// Deepest nesting of an event's JSON.
pub const EVENT_DEPTH: usize = 128;

/// Bytes of JSON and texts that one flattened event may hold. The limit on payloads is far below.
pub const FLAT_BYTES: usize = 64 * 1024 * 1024;

/// Choices of array elements tried for one filter in an event that names one member of an object twice. Without such
/// repetitions no choice is tried twice and this bound is never met.
pub const TANGLED_STEPS: usize = 65_536;
