//! Hostile responses: too large, malformed, broken off, endless, or luring elsewhere.

use std::time::Duration;

use postrider_core::response::TransportError;
use postrider_core::sender::Fate;

use super::delivery::{NO_CONTENT, OK};
use crate::driver_suite::peer::{Conn, Peer};
use crate::driver_suite::rig::{Rig, endpoint};
use crate::driver_suite::{Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("head-below-the-cap", head_below_the_cap),
    Scenario::new("head-over-the-cap", head_over_the_cap),
    Scenario::new("body-over-the-cap", body_over_the_cap),
    Scenario::new("few-interim-responses", few_interim_responses),
    Scenario::new("ten-interim-responses", ten_interim_responses),
    Scenario::new("redirect-is-not-followed", redirect_is_not_followed),
    Scenario::new("gzip-is-not-decompressed", gzip_is_not_decompressed),
    Scenario::new("hang-up-before-a-response", hang_up_before_a_response),
    Scenario::new("hang-up-in-the-head", hang_up_in_the_head),
    Scenario::new("hang-up-in-the-body", hang_up_in_the_body),
    Scenario::new("malformed-heads", malformed_heads),
];

/// What the driver may have read of an answer that goes on for ever, and what the kernel may hold besides.
const FLOOD: usize = 4 * 1024 * 1024;

fn head_below_the_cap(rig: &mut Rig) -> Outcome {
    let line = format!("x-filler: {}\r\n", "a".repeat(7_000));
    let head = format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", line.repeat(4));
    let bytes = head.len();
    let peer = Peer::closing(head.into_bytes());
    rig.send("below", &peer.url())?;
    rig.delivered("below")?;
    Ok(format!("{bytes} bytes"))
}

fn head_over_the_cap(rig: &mut Rig) -> Outcome {
    let line = format!("x-filler: {}\r\n", "a".repeat(7_000));
    let whole = Peer::closing(format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(6)).into_bytes());
    let endless = Peer::start(|conn| {
        conn.request()?;
        conn.answer(b"HTTP/1.1 200 OK\r\nx-filler: ")?;
        conn.flood(&[b'a'; 8192], 64 * 1024 * 1024, Duration::from_secs(1))
    });
    let endless_lines = Peer::start(|conn| {
        conn.request()?;
        conn.answer(b"HTTP/1.1 200 OK\r\n")?;
        conn.flood(&b"x-filler: aaaaaaaaaaaaaaaaaaaa\r\n".repeat(256), 64 * 1024 * 1024, Duration::from_secs(1))
    });
    let peers = [("whole", &whole), ("endless", &endless), ("endless-lines", &endless_lines)];
    for (name, peer) in peers {
        rig.send(name, &peer.url())?;
    }
    for (name, _) in peers {
        let why = rig.failed(name)?;
        ensure!(why == TransportError::HeadTooLarge, "{name}: it must fail as HeadTooLarge, not {why:?}");
    }
    bounded(&[&endless, &endless_lines])
}

/// The status decides, and soon: nobody waits for the end of a body that is larger than is read.
fn body_over_the_cap(rig: &mut Rig) -> Outcome {
    fn flooding(head: &'static [u8], piece: &'static [u8]) -> Peer {
        Peer::start(move |conn: &mut Conn| {
            conn.request()?;
            conn.answer(head)?;
            conn.flood(&piece.repeat(1024), 64 * 1024 * 1024, Duration::from_secs(1))
        })
    }
    let length = flooding(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n", b"aaaaaaaa");
    let chunked = flooding(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"8\r\naaaaaaaa\r\n");
    let until_close = flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"aaaaaaaa");
    let peers = [("length", &length), ("chunked", &chunked), ("until-close", &until_close)];
    for (name, peer) in peers {
        rig.send(name, &peer.url())?;
    }
    for (name, _) in peers {
        let delivery = rig.delivered(name)?;
        let soon = delivery.elapsed < Duration::from_millis(900);
        ensure!(soon, "{name}: the body was read for {:?}, far beyond the cap", delivery.elapsed);
    }
    bounded(&[&length, &chunked, &until_close])
}

/// How much of endless answers was taken.
fn bounded(peers: &[&Peer]) -> Outcome {
    for peer in peers {
        peer.seen().wait(Duration::from_secs(2), |state| state.written > 0);
    }
    let most = peers.iter().map(|peer| peer.seen().now().written).max().unwrap_or_default();
    ensure!(most > 0, "the driver neither reads an endless answer nor closes the connection");
    ensure!(most <= FLOOD, "{most} bytes of an endless answer were taken, buffers included; at most {FLOOD} may be");
    Ok(format!("at most {} KiB taken, buffers included", most / 1024))
}

fn few_interim_responses(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    rig.send("few", &peer.url())?;
    let delivery = rig.delivered("few")?;
    ensure!(delivery.status == Some(200), "the final status counts: {delivery}");
    Ok(String::new())
}

fn ten_interim_responses(rig: &mut Rig) -> Outcome {
    let ten = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10);
    let peer = Peer::closing([&ten[..], OK].concat());
    rig.send("ten", &peer.url())?;
    let why = rig.failed("ten")?;
    ensure!(why == TransportError::MalformedHead, "it must fail as MalformedHead, not {why:?}");
    Ok(String::new())
}

fn redirect_is_not_followed(rig: &mut Rig) -> Outcome {
    let lure = Peer::answering(NO_CONTENT);
    for status in [301, 302, 303, 307, 308] {
        let name = format!("redirect-{status}");
        let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", lure.url());
        let peer = Peer::closing(head.into_bytes());
        rig.send(&name, &peer.url())?;
        let delivery = rig.settled(&name)?;
        let as_is = delivery.status == Some(status) && delivery.fate == Fate::Exhausted;
        ensure!(as_is, "the redirect is the outcome: {delivery}");
    }
    let followed = lure.seen().now().connections;
    ensure!(followed == 0, "the redirect was followed {followed} times");
    Ok(String::new())
}

/// It says gzip and is not: whoever decompresses fails. Whoever does not can use the connection again.
fn gzip_is_not_decompressed(rig: &mut Rig) -> Outcome {
    let peer = Peer::answering(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b!!");
    rig.put(endpoint("gzip", &peer.url()))?;
    for id in ["gzip-1", "gzip-2"] {
        rig.publish(id, "gzip")?;
        rig.delivered(id)?;
    }
    let seen = peer.seen().now();
    ensure!(seen.connections == 1, "the body was no reason for another connection: was it decompressed?");
    for request in &seen.requests {
        let asked: Vec<_> = request.all("accept-encoding").collect();
        ensure!(asked == [b"identity"], "nothing but identity may be asked for: {request:?}");
    }
    Ok(String::new())
}

fn broken_off(rig: &Rig, name: &str, peer: &Peer) -> Result<(), String> {
    rig.send(name, &peer.url())?;
    let why = rig.failed(name)?;
    let fair = matches!(why, TransportError::Closed | TransportError::SendFailed);
    ensure!(fair, "{name}: it must fail as Closed or SendFailed, not {why:?}");
    Ok(())
}

fn hang_up_before_a_response(rig: &mut Rig) -> Outcome {
    broken_off(rig, "at-once", &Peer::start(|_| Ok(())))?;
    broken_off(rig, "after-request", &Peer::start(Conn::request))?;
    let reset = Peer::start(|conn| {
        conn.request()?;
        conn.reset()
    });
    broken_off(rig, "reset", &reset)?;
    broken_off(rig, "after-interim", &Peer::closing(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()))?;
    Ok(String::new())
}

fn hang_up_in_the_head(rig: &mut Rig) -> Outcome {
    for (name, head) in
        [("status", "HTTP/1.1 20"), ("line", "HTTP/1.1 200 OK\r\ncontent-le"), ("end", "HTTP/1.1 200 OK\r\nx: y\r\n")]
    {
        broken_off(rig, name, &Peer::closing(head.as_bytes().to_vec()))?;
    }
    Ok(String::new())
}

/// The final status decides, wherever the body is cut.
fn hang_up_in_the_body(rig: &mut Rig) -> Outcome {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.";
    let peer = Peer::closing(cut.to_vec());
    rig.send("cut", &peer.url())?;
    rig.delivered("cut")?;
    let peer = Peer::start(move |conn| {
        conn.request()?;
        conn.answer(cut)?;
        std::thread::sleep(Duration::from_millis(50));
        conn.reset()
    });
    rig.send("reset", &peer.url())?;
    rig.delivered("reset")?;
    Ok(String::new())
}

fn malformed_heads(rig: &mut Rig) -> Outcome {
    const HEADS: [(&str, &str); 8] = [
        ("protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        ("typo", "HTP/1.1 200 OK\r\n\r\n"),
        ("version", "HTTP/3.7 200 OK\r\n\r\n"),
        ("no-version", "200 OK\r\n\r\n"),
        ("four-digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        ("letters", "HTTP/1.1 two OK\r\n\r\n"),
        ("no-colon", "HTTP/1.1 200 OK\r\nthis is no header line\r\n\r\n"),
        ("zeros", "\0\0\0\0\0\0\0\0\r\n\r\n"),
    ];
    // They stay open, so that nothing but the bytes says what is wrong.
    let peer = |head: &'static str| {
        Peer::start(move |conn| {
            conn.request()?;
            conn.answer(head.as_bytes())?;
            conn.hold(Duration::from_secs(2)).map(drop)
        })
    };
    let peers: Vec<Peer> = HEADS.iter().map(|(_, head)| peer(head)).collect();
    for ((name, _), peer) in HEADS.iter().zip(&peers) {
        rig.send(name, &peer.url())?;
    }
    for (name, head) in HEADS {
        let why = rig.failed(name)?;
        ensure!(why == TransportError::MalformedHead, "{head:?} must fail as MalformedHead, not {why:?}");
    }
    Ok(format!("{} heads", HEADS.len()))
}
