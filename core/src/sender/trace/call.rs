//! The calls that a trace has, and the kinds of its entries.

use alloc::vec::Vec;
use core::time::Duration;

use crate::event::Event;
use crate::id::{AttemptId, EndpointKey, EventId, TenantId};
use crate::registration::Endpoint;
use crate::response::Outcome;
use crate::secret::{KeyId, Secret};
use crate::sender::{Called, Close, Input, Replay};
use crate::time::UnixTime;

/// Kinds of entries. Below 16: the beginning; below 64: calls; from 128 on: what came of them.
pub(super) mod kind {
    pub(crate) const CONFIG: u8 = 1;
    pub(crate) const SEED: u8 = 2;
    pub(crate) const RECORD: u8 = 3;
    pub(crate) const RESTORED: u8 = 4;
    pub(crate) const MISSING: u8 = 5;
    pub(crate) const IDENTITY: u8 = 8;
    pub(crate) const QUOTAS: u8 = 9;
    /// Operational events are on.
    pub(crate) const OPERATIONAL: u8 = 6;
    /// Wishes of single tenants about them.
    pub(crate) const OPERATIONAL_OF: u8 = 10;
    /// Bounds on attempts in flight, behind the configuration that has some.
    pub(crate) const BOUNDS: u8 = 7;
    pub(crate) const PUBLISH: u8 = 16;
    pub(crate) const PUT: u8 = 17;
    pub(crate) const PAUSE: u8 = 18;
    pub(crate) const RESUME: u8 = 19;
    pub(crate) const DISABLE: u8 = 20;
    pub(crate) const REMOVE: u8 = 21;
    pub(crate) const ADD_KEY: u8 = 22;
    pub(crate) const EXPIRE_KEY: u8 = 23;
    pub(crate) const REVOKE_KEY: u8 = 24;
    pub(crate) const CANCEL: u8 = 25;
    pub(crate) const CLOSE: u8 = 26;
    pub(crate) const PURGE: u8 = 27;
    pub(crate) const ERASE: u8 = 28;
    pub(crate) const REWRITE: u8 = 29;
    pub(crate) const ROTATE_KEY: u8 = 48;
    pub(crate) const FINISH_ROTATION: u8 = 49;
    pub(crate) const CALLED_BACK: u8 = 50;
    pub(crate) const SYNC: u8 = 51;
    pub(crate) const REPLAY: u8 = 54;
    pub(crate) const TICK: u8 = 32;
    pub(crate) const COMPLETED: u8 = 33;
    pub(crate) const PERSISTED: u8 = 34;
    pub(crate) const PERSIST_FAILED: u8 = 35;
    pub(crate) const ROOM: u8 = 36;
    pub(crate) const LOADED: u8 = 37;
    pub(crate) const CREDIT: u8 = 38;
    pub(crate) const TRIMMED: u8 = 39;
    pub(crate) const ADD_PAIR: u8 = 60;
    /// What filters answered in the command before, or for the output that follows.
    pub(crate) const MATCHED: u8 = 127;
    pub(crate) const RESULT: u8 = 128;
    pub(crate) const OUTPUT: u8 = 129;
}

/// A call as a trace has it.
#[derive(Debug)]
pub(super) enum Call {
    Publish(Event),
    Replay(Replay),
    Put(Endpoint),
    Pause(EndpointKey),
    Resume(EndpointKey),
    Disable(EndpointKey),
    Remove(EndpointKey),
    AddKey(EndpointKey, Secret),
    ExpireKey(EndpointKey, KeyId, UnixTime),
    RevokeKey(EndpointKey, KeyId),
    RotateKey(EndpointKey, Secret, Duration),
    FinishRotation(EndpointKey),
    CalledBack(Called),
    Sync(TenantId, u64, Vec<Endpoint>),
    Cancel(TenantId, EventId),
    Rewrite(EndpointKey),
    Purge(TenantId),
    Erase(TenantId, EventId),
    /// An attempt ended, and so many keys had signed it.
    Completed(AttemptId, Outcome, u8),
    Close(Close),
    Input(Input),
}
