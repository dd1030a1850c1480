//! Disasters: how nodes die and come back, and what else happens to them.

use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;
use postrider_core::limits::Limits;
use postrider_core::registration::consent::Origin;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Life, Restore, Sender};
use postrider_core::time::UnixTime;

use crate::observe::{Broken, Death, SECOND, Seen};
use crate::profile::{Class, Profile};
use crate::store::{Opened, Unopened};
use crate::trace::digest_of;

use super::node::{Process, now, number};
use super::{Happening, World};

/// Classes that strike a node at moments of their own, and how many times rarer than the usual disaster.
const STRIKES: &[(Class, u64)] = &[
    (Class::Kill, 1),
    (Class::Power, 1),
    (Class::PowerInWrite, 1),
    (Class::LongDown, 16),
    (Class::SyncError, 1),
    (Class::WriteError, 1),
    (Class::DiskFull, 4),
    (Class::Rot, 6),
    (Class::Drift, 8),
    (Class::Steps, 4),
    (Class::Suspends, 4),
    (Class::Credit, 1),
    (Class::Closes, 6),
];

impl World {
    pub(super) fn begin_chaos(&mut self) {
        for node in 0..self.profile.nodes {
            for (class, rarer) in STRIKES {
                if self.profile.classes.has(*class) {
                    let first = self.streams.chaos.about(self.profile.disaster * rarer);
                    self.schedule.at(self.now.after(first), Happening::Chaos { class: *class, node });
                }
            }
            let disk = &self.nodes[node as usize].disk;
            disk.set_faults(|faults| {
                faults.tears = self.profile.classes.has(Class::Torn);
                faults.lies = self.profile.classes.has(Class::Lies);
            });
        }
    }

    /// A disaster strikes, and will strike again some time later.
    pub(super) fn strike(&mut self, class: Class, node: u32) {
        if self.healed {
            return;
        }
        let rarer = STRIKES.iter().find(|(other, _)| *other == class).map_or(1, |(_, rarer)| *rarer);
        let again = self.streams.chaos.about(self.profile.disaster * rarer);
        self.schedule.at(self.now.after(again), Happening::Chaos { class, node });
        if self.nodes[node as usize].up.is_none() {
            return;
        }
        self.injected.count(class);
        let disk = self.nodes[node as usize].disk.clone();
        match class {
            Class::Kill => self.die(node, Death::Kill),
            Class::Power | Class::LongDown => self.cut_off(node),
            Class::PowerInWrite => {
                let after = self.streams.chaos.below(12);
                disk.set_faults(|faults| faults.dies = Some(after));
            }
            Class::SyncError => {
                let after = self.streams.chaos.below(4);
                disk.set_faults(|faults| faults.sync_fails = Some(after));
            }
            Class::WriteError => {
                let after = self.streams.chaos.below(4);
                disk.set_faults(|faults| faults.write_fails = Some(after));
            }
            Class::DiskFull => self.fill_disk(node),
            Class::Rot => self.rot(node),
            Class::Drift => self.drift(node),
            Class::Steps => self.step_clock(node),
            Class::Suspends => self.suspend(node),
            Class::Credit => {
                let credit = u32::try_from(self.streams.chaos.below(u64::from(self.profile.credit) + 1));
                self.set_credit(node, credit.expect("no more than before"));
            }
            Class::Closes => self.close(node),
            _ => {}
        }
    }

    /// Somebody knows now that what they wanted is done. Every so often the power goes within moments, while what follows
    /// from it is not durable: what was answered must hold all the same.
    pub(super) fn tempt_fate(&mut self, node: u32) {
        if self.classes_now(Class::Power) && self.streams.chaos.once_in(8) {
            let after = self.streams.chaos.about(2_000_000);
            let life = self.nodes[node as usize].life;
            self.schedule.at(self.now.after(after), Happening::Doom { node, life });
        }
    }

    pub(super) fn doom(&mut self, node: u32, life: u32) {
        if !self.healed && self.nodes[node as usize].life == life && self.nodes[node as usize].up.is_some() {
            self.injected.count(Class::Power);
            self.cut_off(node);
        }
    }

    /// The power goes, or where a store cannot survive that, the process dies.
    fn cut_off(&mut self, node: u32) {
        let death = if self.cast.stores.is_durable() { Death::Power } else { Death::Kill };
        self.die(node, death);
    }

    /// A disaster is over.
    pub(super) fn calm(&mut self, class: Class, node: u32) {
        match class {
            Class::DiskFull => {
                self.nodes[node as usize].disk.set_faults(|faults| faults.capacity = None);
                self.tell_room(node);
            }
            Class::Suspends => self.thaw(node),
            Class::Credit => self.set_credit(node, self.profile.credit),
            _ => {}
        }
    }

    fn fill_disk(&mut self, node: u32) {
        let left = self.streams.chaos.below(64 * 1024);
        let disk = &self.nodes[node as usize].disk;
        let capacity = disk.used() + left;
        disk.set_faults(|faults| faults.capacity = Some(capacity));
        let length = self.streams.chaos.about(900 * SECOND);
        self.schedule.at(self.now.after(length), Happening::Calm { class: Class::DiskFull, node });
        self.tell_room(node);
    }

    fn rot(&mut self, node: u32) {
        let owner = &mut self.nodes[node as usize];
        if owner.disk.flip(&mut self.streams.disk).is_some() {
            owner.damaged = true;
            owner.prefix.damage();
            self.see(&Seen::Damaged { node });
        }
    }

    fn drift(&mut self, node: u32) {
        let most = if self.streams.chaos.once_in(8) { 50_000 } else { 200 };
        let drift = i32::try_from(self.streams.chaos.below(2 * most + 1)).expect("it is small");
        let drift = drift - i32::try_from(most).expect("it is small");
        self.nodes[node as usize].clock.set_drift(self.now, drift);
        self.fact(node, Input::Tick);
    }

    fn step_clock(&mut self, node: u32) {
        let hour = 3_600_000;
        let by = match self.streams.chaos.below(8) {
            0 => -i64::try_from(self.clocks(node).wall).expect("dates fit"),
            1 => i64::try_from(self.streams.chaos.below(30 * 24 * 3_600_000)).expect("a month"),
            2 => 1000,
            3 => -1000,
            4..6 => i64::try_from(self.streams.chaos.below(hour)).expect("an hour"),
            _ => -i64::try_from(self.streams.chaos.below(hour)).expect("an hour"),
        };
        self.step_by(node, by);
    }

    fn step_by(&mut self, node: u32, by: i64) {
        self.nodes[node as usize].clock.step(self.now, by);
        self.see(&Seen::Stepped { node, by });
        self.fact(node, Input::Tick);
    }

    fn suspend(&mut self, node: u32) {
        let length = match self.streams.chaos.below(4) {
            0 => self.streams.chaos.about(3600 * SECOND),
            _ => self.streams.chaos.about(20 * SECOND),
        };
        let until = self.now.after(length);
        self.nodes[node as usize].frozen = Some(until);
        self.schedule.at(until, Happening::Calm { class: Class::Suspends, node });
        self.nodes[node as usize].clock.freeze(self.now);
        self.see(&Seen::Suspended { node, nanos: length });
    }

    fn thaw(&mut self, node: u32) {
        let owner = &mut self.nodes[node as usize];
        if owner.frozen.take().is_some() {
            owner.clock.thaw(self.now);
            self.fact(node, Input::Tick);
        }
    }

    fn set_credit(&mut self, node: u32, credit: u32) {
        let Some(process) = &mut self.nodes[node as usize].up else { return };
        process.credit = credit;
        self.bounds.set_credit(node, credit);
        self.fact(node, Input::Credit(credit));
        if credit < self.profile.credit {
            let length = self.streams.chaos.about(60 * SECOND);
            self.schedule.at(self.now.after(length), Happening::Calm { class: Class::Credit, node });
        }
    }

    /// Whether the power went within an operation of the disk; the node is dead then.
    pub(super) fn died_within(&mut self, node: u32) -> bool {
        if !self.nodes[node as usize].disk.is_dead() {
            return false;
        }
        if self.nodes[node as usize].up.is_some() {
            self.die(node, Death::Power);
        }
        true
    }

    /// A machine has ended by itself.
    pub(super) fn ended(&mut self, node: u32) {
        let Some(process) = &self.nodes[node as usize].up else { return };
        let how = if process.sender.life() == Life::Fenced { Death::Fenced } else { Death::Closed };
        self.die(node, how);
    }

    /// A node dies, and comes back some time later.
    pub(super) fn die(&mut self, node: u32, how: Death) {
        self.fail_waiting(node);
        let owner = &mut self.nodes[node as usize];
        if owner.up.take().is_none() {
            return;
        }
        owner.life += 1;
        let life = owner.life;
        let disk = owner.disk.clone();
        match how {
            Death::Power => self.cut_power(node),
            Death::Kill | Death::Closed | Death::Fenced => disk.kill(),
        }
        self.flights.orphan(node);
        self.see(&Seen::Died { node, how });
        let down = match self.streams.chaos.below(4) {
            0 => 0,
            1 | 2 => self.streams.chaos.about(10 * SECOND),
            _ => self.streams.chaos.about(600 * SECOND),
        };
        let down = match self.profile.classes.has(Class::LongDown) && self.streams.chaos.once_in(16) {
            true => self.streams.chaos.about(12 * 3600 * SECOND),
            false => down,
        };
        let down = if self.healed { SECOND } else { down };
        self.schedule.at(self.now.after(down), Happening::Boot { node, life });
    }

    /// The power goes. What a disk lost that had said that it was durable voids every promise but those about reading it.
    fn cut_power(&mut self, node: u32) {
        let disk = self.nodes[node as usize].disk.clone();
        let lost = |disk: &crate::disk::SimDisk| disk.counts().sectors_lost + disk.counts().names_lost;
        let (before, torn) = (lost(&disk), disk.counts().sectors_torn);
        disk.power_loss(&mut self.streams.disk);
        // Nothing tells a sector that tore from one that rotted, so that its node may refuse to open what it has; but not
        // lose what was acknowledged.
        let tore = disk.counts().sectors_torn > torn;
        self.nodes[node as usize].torn |= tore;
        self.nodes[node as usize].betrayed |= self.profile.classes.has(Class::Lies) && (tore || lost(&disk) > before);
    }

    /// A process starts and reads what its node has.
    pub(super) fn boot(&mut self, node: u32, life: u32) {
        let owner = &mut self.nodes[node as usize];
        if owner.life != life || owner.up.is_some() {
            return;
        }
        owner.clock.boot(self.now, self.streams.chaos.below(1 << 50));
        let wall = UnixTime::from_millis(owner.clock.at(self.now).wall);
        if !self.healed && self.profile.classes.has(Class::PowerInRecovery) && self.streams.chaos.once_in(3) {
            self.injected.count(Class::PowerInRecovery);
            let after = self.streams.chaos.below(20);
            self.nodes[node as usize].disk.set_faults(|faults| faults.dies = Some(after));
        }
        let disk = self.nodes[node as usize].disk.clone();
        let opened = self.cast.stores.open(&disk, &self.profile, wall, false);
        let opened = match opened {
            Err(Unopened::Damaged(why, lost)) if !disk.is_dead() => {
                let lost: Vec<u64> = lost.iter().filter_map(|event| number(event)).collect();
                let owner = &self.nodes[node as usize];
                if !owner.damaged && !owner.betrayed && !owner.torn {
                    return self.break_off(Broken::new(18, format!("a sound log is called damaged: {why}")));
                }
                let torn = owner.torn;
                self.see(&Seen::Refused { node, why: &why, lost: &lost, torn });
                self.cast.stores.open(&disk, &self.profile, wall, true)
            }
            other => other,
        };
        if disk.is_dead() {
            self.cut_power(node);
            let owner = &mut self.nodes[node as usize];
            owner.life += 1;
            let again = Happening::Boot { node, life: owner.life };
            return self.schedule.at(self.now.after(SECOND), again);
        }
        disk.set_faults(|faults| faults.dies = None);
        match opened {
            Ok(opened) => self.start(node, opened),
            Err(Unopened::Io(_)) if !self.healed => {
                self.schedule.at(self.now.after(10 * SECOND), Happening::Boot { node, life });
            }
            // A disk that lied may have kept too little for anything.
            Err(_) if self.nodes[node as usize].betrayed => self.over = true,
            Err(why) => self.break_off(Broken::new(18, format!("the store cannot be opened: {why:?}"))),
        }
    }

    /// A machine is made of what was read.
    fn start(&mut self, node: u32, opened: Opened) {
        let betrayed = self.nodes[node as usize].betrayed;
        let loose = betrayed || self.nodes[node as usize].damaged;
        if let Err(broken) = self.nodes[node as usize].prefix.recovered(&opened.records, loose) {
            return self.break_off(broken);
        }
        if betrayed {
            // What was promised is void, and what is left was read back as it was written.
            self.over = true;
            return;
        }
        if let Err(broken) = self.recover_again(node, &opened.records) {
            return self.break_off(broken);
        }
        self.counts.recovered += opened.records.len() as u64;
        let clocks = self.clocks(node);
        let config = config(&self.profile);
        let sender = if opened.records.is_empty() && opened.missing.is_empty() {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&self.profile.seed.to_le_bytes());
            Sender::new(config, Seed::from_bytes(seed), now(clocks))
        } else {
            self.counts.restarts += 1;
            let restore = opened
                .missing
                .iter()
                .fold(Restore::new(config), |restore, (first, last)| restore.missing(*first, *last));
            match opened.records.into_iter().fold(restore, Restore::record).finish(now(clocks)) {
                Ok(sender) => sender,
                Err(why) => return self.break_off(Broken::new(17, format!("no machine can be made: {why}"))),
            }
        };
        let credit = self.profile.credit;
        self.bounds.set_credit(node, credit);
        let owner = &mut self.nodes[node as usize];
        owner.torn = false;
        owner.up = Some(Process::new(sender, opened.store, credit));
        let life = owner.life;
        let mut lost: Vec<u64> = opened.lost.iter().filter_map(|event| number(event)).collect();
        // What is left of a damaged record may not say which event it was. Its place is named, and that is enough.
        lost.extend(self.nodes[node as usize].prefix.accepted(&opened.missing));
        self.see(&Seen::Restarted { node, clocks, lost: &lost });
        self.schedule.at(self.now.after(60 * SECOND), Happening::Tidy { node, life });
        self.fact(node, Input::Credit(credit));
        self.tell_room(node);
        self.look_for_secrets(node);
        self.sweep();
        self.read_after_start(node);
    }

    /// Recovering once more, after the power has gone again at once, gives the same.
    fn recover_again(&mut self, node: u32, records: &[(JournalSeq, Record)]) -> Result<(), Broken> {
        let classes = self.profile.classes;
        if classes.has(Class::Lies) || !self.cast.stores.is_durable() || !self.streams.chaos.once_in(4) {
            return Ok(());
        }
        let owner = &self.nodes[node as usize];
        if owner.damaged || owner.torn {
            return Ok(());
        }
        let copy = owner.disk.deep_clone();
        copy.set_faults(|faults| (faults.sync_fails, faults.write_fails, faults.capacity) = (None, None, None));
        copy.power_loss(&mut self.streams.disk);
        let wall = UnixTime::from_millis(self.clocks(node).wall);
        let again = self.cast.stores.open(&copy, &self.profile, wall, false);
        let again =
            again.map_err(|why| Broken::new(16, format!("what was just recovered cannot be opened: {why:?}")))?;
        let (first, second) = (digest_of(records), digest_of(&again.records));
        if first != second {
            let counts = (records.len(), again.records.len());
            return Err(Broken::new(16, format!("recovering twice gives something else: {counts:?} records")));
        }
        Ok(())
    }

    /// No secret may be in what a machine shows of itself.
    fn look_for_secrets(&mut self, node: u32) {
        if !self.streams.chaos.once_in(16) {
            return;
        }
        let Some(process) = &self.nodes[node as usize].up else { return };
        let shown = format!("{:?}", process.sender);
        if let Some(at) = super::checks::canary(shown.as_bytes()) {
            let from = shown.floor_char_boundary(at.saturating_sub(80));
            let what = format!("the machine's Debug shows a secret: {}", &shown[from..at]);
            self.break_off(Broken::new(27, what));
        }
    }

    /// What disks did counts as injected.
    pub(super) fn count_disks(&mut self) {
        for node in &self.nodes {
            let counts = node.disk.counts();
            self.injected.add(Class::Lies, counts.lies);
            self.injected.add(Class::Torn, counts.sectors_torn);
        }
    }
}

fn config(profile: &Profile) -> Config {
    let mut limits = Limits::default();
    let size = |bytes: u64| usize::try_from(bytes).expect("it is small");
    limits.payload = size(profile.payload);
    limits.resident = size(profile.resident);
    limits.snapshot_every = profile.snapshot;
    limits.idempotency_window = std::time::Duration::from_nanos(profile.window);
    limits.idempotency_entries = size(profile.remembered);
    limits.reports = 256;
    (limits.tenant_in_flight, limits.host_in_flight) = (profile.tenant_bound, profile.host_bound);
    if profile.classes.has(Class::Tight) {
        limits.events = 200;
        limits.pending = 400;
        limits.unwritten = 16 * 1024;
    }
    let origin = Origin::new("sender.example.com").expect("a name");
    Config::new().limits(limits).operational_events(profile.tells).origin(origin)
}
