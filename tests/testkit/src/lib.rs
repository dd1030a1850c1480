//! Tests of your own with Postrider: strategies, laws, a sandbox, and a suite that judges drivers.
