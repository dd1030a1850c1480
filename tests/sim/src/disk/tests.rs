use super::*;

fn read(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn synced(content: &[u8]) -> (SimDisk, SimFile) {
    let disk = SimDisk::new();
    let file = disk.create("a", 0).unwrap();
    file.write_at(0, content).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

#[test]
fn what_is_synced_survives_and_the_rest_may_not() {
    let (disk, file) = synced(b"first");
    file.write_at(5, b" second").unwrap();
    assert_eq!(read(&disk, "a"), b"first second");
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), b"first");
}

#[test]
fn any_subset_of_sectors_survives() {
    let (disk, file) = synced(&[0; 4 * SECTOR]);
    file.write_at(0, &[1; 4 * SECTOR]).unwrap();
    assert_eq!(disk.pending(), 4);
    disk.power_loss_subset(0b1010);
    let bytes = read(&disk, "a");
    let kept: Vec<_> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
    assert_eq!(kept, [0, 1, 0, 1]);
}

#[test]
fn a_name_is_durable_after_the_directory_is_synced() {
    let disk = SimDisk::new();
    let file = disk.create("a", 8).unwrap();
    file.sync().unwrap();
    let copy = disk.deep_clone();
    disk.power_loss_subset(0);
    assert!(disk.list().unwrap().is_empty());
    copy.sync_dir().unwrap();
    copy.power_loss_subset(0);
    assert_eq!(copy.list().unwrap(), ["a"]);
}

#[test]
fn a_failed_sync_drops_what_it_had() {
    let (disk, file) = synced(b"old");
    file.write_at(0, b"new").unwrap();
    disk.set_faults(|faults| faults.sync_fails = Some(0));
    assert!(file.sync().is_err());
    assert_eq!(read(&disk, "a"), b"new");
    file.sync().unwrap();
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), b"old");
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let (disk, file) = synced(b"old");
    file.write_at(0, b"new").unwrap();
    disk.kill();
    assert_eq!(read(&disk, "a"), b"new");
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), b"old");
}

#[test]
fn the_power_goes_after_the_operation_that_was_named() {
    let (disk, file) = synced(b"old");
    disk.set_faults(|faults| faults.dies = Some(1));
    file.write_at(0, b"new").unwrap();
    assert!(file.sync().is_err() && disk.is_dead());
    assert!(file.write_at(0, b"xxx").is_err() && disk.list().is_err());
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), b"new");
}

#[test]
fn there_is_no_more_room_than_there_is() {
    let disk = SimDisk::new();
    disk.set_faults(|faults| faults.capacity = Some(1000));
    let file = disk.create("a", 600).unwrap();
    let refused = disk.create("b", 600).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert!(file.write_at(0, &[1; 600]).is_ok() && file.write_at(600, &[1; 401]).is_err());
    assert_eq!(disk.room().unwrap(), Some(400));
}

#[test]
fn a_cut_that_is_lost_leaves_the_old_bytes() {
    let (disk, file) = synced(&[7; 1000]);
    file.set_len(100).unwrap();
    assert_eq!(read(&disk, "a").len(), 100);
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), [7; 1000]);
}

#[test]
fn what_was_removed_takes_no_memory_once_nobody_can_reach_it() {
    let (disk, file) = synced(b"old");
    disk.remove("a").unwrap();
    disk.sync_dir().unwrap();
    let mut bytes = [0; 3];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 3);
    assert_eq!(&bytes, b"old", "whoever has it open still reads it");
    drop(file);
    assert!(disk.state().inodes[0].bytes.is_empty());
}

#[test]
fn what_was_removed_is_there_while_a_loss_of_power_may_bring_it_back() {
    let (disk, file) = synced(b"old");
    disk.remove("a").unwrap();
    drop(file);
    disk.power_loss_subset(0);
    assert_eq!(read(&disk, "a"), b"old");
}
