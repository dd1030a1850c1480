//! The sender as applications use it, against receivers on the loopback interface.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId, TenantId};
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::{Denial, Outcome, TransportError};
use postrider_core::seed::Seed;
use postrider_core::sender::{Close, Config, Input, Life, Notice, Refused, Sender as Machine};
use postrider_core::signing::standard::Verifier;
use postrider_driver::{Carry as _, Clock, Error, PublishError, Resolver, SettledError};
use postrider_journal::MemoryLog;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::fixture::{OK, Server, certificate, h2_server, read_request, secret};
use crate::{MachineCommand, Notices, Sender, run_machine};

/// Nothing here takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// A socket is freed within 100 ms; a busy machine gets some more.
const SOON: Duration = Duration::from_millis(500);

fn sender() -> Sender {
    Sender::builder().policy(Policy::development()).volatile().unwrap()
}

fn event(id: &str) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": 1001 })).unwrap().id(id)
}

/// An endpoint whose first attempt is its last.
fn once(url: &str) -> Endpoint {
    Endpoint::new("acme", url).signing_key(secret()).schedule([Duration::ZERO])
}

/// A URL where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn an_event_arrives_at_a_hyper_server_and_verifies() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                seen.send((head, body.collect().await?.to_bytes())).unwrap();
                Ok::<_, hyper::Error>(hyper::Response::builder().status(204).body(Full::<Bytes>::default()).unwrap())
            }
        });
        // Ends when the sender hangs up.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });

    let sender = sender();
    let registered = sender.put(Endpoint::new("acme", url).events(["order.*"])).await.unwrap();
    let minted = registered.created().expect("it brought no secret").clone();
    let receipt = sender.publish(event("order-1001-paid")).await.unwrap();
    assert_eq!(receipt.to_string(), "accepted order-1001-paid, in memory only, 1 endpoint");
    let report = timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
    assert_eq!((report.tally.delivered, report.deliveries[0].status), (1, Some(204)), "{report}");

    let (head, body) = requests.recv().await.unwrap();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/hooks"));
    let verified = Verifier::new([minted]).unwrap().verify(&head.headers, &body, Clock::start().now().wall).unwrap();
    assert_eq!(verified.id(), "order-1001-paid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_share_few_connections_and_one_batch() {
    let server = Server::obliging().await;
    let sender = sender();
    sender.put(once(&server.url())).await.unwrap();
    let events = (0..300).map(|n| event(&format!("order-{n}")));
    let receipts = sender.publish_all(events).await;
    for receipt in receipts {
        let report = timeout(LONG, sender.settled(receipt.unwrap().event())).await.unwrap().unwrap();
        assert_eq!(report.tally.delivered, 1, "{report}");
    }
    // 8 attempts at once for one endpoint. At worst all of them end before the next begin: two connections are kept, and
    // six in eight are new.
    assert!(server.accepted() < 240, "{} connections for 300 requests", server.accepted());
    assert_eq!(sender.stats().await.unwrap().attempts, 300);
}

#[tokio::test]
async fn a_failure_says_why() {
    let sender = sender();
    sender.put(once(&nobody().await)).await.unwrap();
    let receipt = sender.publish(event("lost")).await.unwrap();
    let report = timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
    assert_eq!(report.deliveries[0].failure, Some(TransportError::ConnectRefused));
    assert_eq!(report.tally.exhausted, 1);
    assert_eq!(sender.report(&TenantId::default(), receipt.event()).await.unwrap(), Some(report));
}

#[tokio::test]
async fn a_receiver_is_found_and_trusted_as_the_builder_says() {
    let (config, roots) = certificate("receiver.example");
    let server = h2_server(config).await;
    let resolver = Resolver::by(|host, _| {
        assert_eq!(host, "receiver.example");
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    });
    let builder = Sender::builder().policy(Policy::development()).roots(roots).resolver(resolver);
    let sender = builder.volatile().unwrap();
    sender.put(once(&format!("https://receiver.example:{}/", server.addr.port()))).await.unwrap();
    for id in ["first", "second"] {
        let receipt = sender.publish(event(id)).await.unwrap();
        let report = timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
        assert_eq!(report.tally.delivered, 1, "{report}");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_public_name_that_leads_inside_is_not_dialled() {
    let (config, roots) = certificate("receiver.net");
    let server = h2_server(config).await;
    let resolver = Resolver::by(|_, _| Ok(vec![Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::LOCALHOST.into()]));
    let sender = Sender::builder().roots(roots).resolver(resolver).volatile().unwrap();
    sender.put(once(&format!("https://receiver.net:{}/", server.addr.port()))).await.unwrap();
    let receipt = sender.publish(event("order")).await.unwrap();
    let report = timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
    assert_eq!(report.deliveries[0].failure, Some(TransportError::Denied(Denial::Address)), "{report}");
    assert_eq!(server.accepted(), 0);
}

/// Eight names lead to one address, and two attempts at a time may be there.
#[tokio::test]
async fn many_names_of_one_address_share_its_bound() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |mut stream, _| {
        let (counter, peak) = (Arc::clone(&counter), Arc::clone(&peak));
        async move {
            read_request(&mut stream).await;
            peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            counter.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let resolver = Resolver::by(|_, _| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let builder = Sender::builder().policy(Policy::development()).resolver(resolver);
    let sender = builder.concurrency_per_address(NonZeroU32::new(2).unwrap()).volatile().unwrap();
    for number in 0..8 {
        let url = format!("http://n{number}.example:{}/", server.addr.port());
        sender.put(Endpoint::new(format!("e{number}"), url).schedule([Duration::ZERO])).await.unwrap();
    }
    for id in ["first", "second"] {
        sender.publish(event(id)).await.unwrap();
    }
    for id in ["first", "second"] {
        let id = EventId::new(id).unwrap();
        let report = timeout(LONG, sender.settled(&id)).await.unwrap().unwrap();
        assert_eq!(report.tally.delivered, 8, "{report}");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// Who has no place in time says so, and not that the receiver failed.
#[tokio::test]
async fn an_attempt_without_a_place_ends_at_its_deadline() {
    let server = Server::silent().await;
    let builder = Sender::builder().policy(Policy::development());
    let sender = builder.concurrency_per_address(NonZeroU32::MIN).volatile().unwrap();
    let patient = Endpoint::new("patient", server.url()).events(["order.*"]).schedule([Duration::ZERO]);
    sender.put(patient.timeout(Duration::from_secs(3))).await.unwrap();
    sender.publish(event("holds")).await.unwrap();
    while server.accepted() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let hasty = Endpoint::new("hasty", server.url()).events(["invoice.*"]).schedule([Duration::ZERO]);
    sender.put(hasty.timeout(Duration::from_secs(1))).await.unwrap();
    let other = Event::json("invoice.paid", &1).unwrap().id("waits");
    sender.publish(other).await.unwrap();
    let report = timeout(LONG, sender.settled(&EventId::new("waits").unwrap())).await.unwrap().unwrap();
    assert_eq!(report.deliveries[0].failure, Some(TransportError::LocalResources), "{report}");
    assert_eq!(server.accepted(), 1, "it was not dialled");
}

#[tokio::test]
async fn an_unknown_event_settles_at_once() {
    let unknown = EventId::new("unknown").unwrap();
    assert_eq!(sender().settled(&unknown).await, Err(SettledError::Unknown(unknown)));
}

#[tokio::test]
async fn the_credit_bounds_what_is_in_flight() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |mut stream, _| {
        let (counter, peak) = (Arc::clone(&counter), Arc::clone(&peak));
        async move {
            while !read_request(&mut stream).await.0.is_empty() {
                peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(10)).await;
                counter.fetch_sub(1, Ordering::SeqCst);
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let sender = Sender::builder().policy(Policy::development()).concurrency(3).volatile().unwrap();
    sender.put(once(&server.url())).await.unwrap();
    for receipt in sender.publish_all((0..30).map(|n| event(&format!("order-{n}")))).await {
        timeout(LONG, sender.settled(receipt.unwrap().event())).await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

/// A receiver that tells when it has read a request and when its client has hung up.
async fn watched() -> (Server, tokio::sync::mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            read_request(&mut stream).await;
            tell.send("read").unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
            // The test may be over.
            let _ = tell.send("closed");
        }
    })
    .await;
    (server, told)
}

#[tokio::test]
async fn removing_an_endpoint_frees_its_sockets() {
    let (server, mut told) = watched().await;
    let sender = sender();
    sender.put(once(&server.url())).await.unwrap();
    let receipt = sender.publish(event("order")).await.unwrap();
    assert_eq!(timeout(LONG, told.recv()).await, Ok(Some("read")));
    sender.remove(&EndpointKey::new("acme").unwrap()).await.unwrap();
    assert_eq!(timeout(SOON, told.recv()).await, Ok(Some("closed")));
    let report = timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
    assert_eq!(report.tally.discarded, 1, "{report}");
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight_and_not_for_ever() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        sleep(Duration::from_millis(200)).await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let sender = sender();
    sender.put(once(&server.url())).await.unwrap();
    let mut notices = sender.notices().await.unwrap();
    sender.publish(event("order")).await.unwrap();
    timeout(LONG, sender.close(LONG)).await.unwrap().unwrap();
    assert!(matches!(notices.next().await, Some(Ok(Notice::Settled { .. }))), "it was delivered");
    assert_eq!(notices.next().await, None);

    let server = Server::silent().await;
    let sender = self::sender();
    sender.put(once(&server.url())).await.unwrap();
    let receipt = sender.publish(event("order")).await.unwrap();
    let (begun, waiting) = (Instant::now(), sender.settled(receipt.event()));
    let (settled, closed) = tokio::join!(waiting, sender.close(Duration::from_millis(100)));
    closed.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(settled, Err(SettledError::Closed(receipt.event().clone())));
}

#[tokio::test]
async fn a_closed_sender_gives_back_what_it_is_given() {
    let sender = sender();
    timeout(LONG, sender.close(Duration::ZERO)).await.unwrap().unwrap();
    timeout(LONG, sender.close(LONG)).await.unwrap().unwrap();
    let Err(PublishError::Refused(Refused::Closed(back))) = sender.publish(event("order")).await else {
        panic!("it was published");
    };
    assert_eq!(back.event_id().unwrap().as_str(), "order");
    assert!(matches!(sender.stats().await, Err(Error::Stopped)));
    assert!(sender.put(once("http://127.0.0.1:9/")).await.unwrap_err().into_endpoint().is_some());
}

#[tokio::test]
async fn the_last_handle_closes() {
    let (server, mut told) = watched().await;
    let sender = sender();
    sender.put(once(&server.url())).await.unwrap();
    sender.publish(event("order")).await.unwrap();
    let other = sender.clone();
    drop(sender);
    assert_eq!(timeout(LONG, told.recv()).await, Ok(Some("read")));
    assert!(timeout(Duration::from_millis(50), told.recv()).await.is_err(), "there was another handle");
    drop(other);
    assert_eq!(timeout(SOON, told.recv()).await, Ok(Some("closed")));
}

#[tokio::test]
async fn waiting_costs_next_to_nothing() {
    let sender = sender();
    let retrying = Endpoint::new("acme", nobody().await).signing_key(secret()).no_breaker();
    sender.put(retrying.schedule([Duration::ZERO, Duration::from_secs(3600)])).await.unwrap();
    sender.publish_all((0..50).map(|n| event(&format!("order-{n}")))).await;
    while sender.stats().await.unwrap().attempts < 50 {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(200)).await;
    let before = sender.stats().await.unwrap().waits;
    sleep(Duration::from_secs(3)).await;
    // One of them is the question itself.
    let waits = sender.stats().await.unwrap().waits - before;
    assert!((1..=7).contains(&waits), "{waits} in 3 s");
}

#[tokio::test]
async fn whoever_stops_waiting_is_forgotten() {
    let server = Server::silent().await;
    let sender = sender();
    sender.put(once(&server.url())).await.unwrap();
    let receipt = sender.publish(event("order")).await.unwrap();
    let waiting = || sender.ask(|desk| format!("{desk:?}").contains("settled: 1"));
    {
        let mut settled = pin!(sender.settled(receipt.event()));
        assert!(timeout(Duration::from_millis(20), &mut settled).await.is_err());
        assert!(waiting().await.unwrap());
    }
    assert!(!waiting().await.unwrap());
}

#[tokio::test]
async fn notices_are_a_stream() {
    fn is_stream(_: &impl Stream<Item = Result<Notice, crate::Missed>>) {}
    let sender = sender();
    let mut notices: Notices = sender.notices().await.unwrap();
    is_stream(&notices);
    sender.put(once(&nobody().await)).await.unwrap();
    // It listens while it waits.
    let listener = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(notice) = notices.next().await {
            heard.push(notice.unwrap());
        }
        heard
    });
    let receipt = sender.publish(event("order")).await.unwrap();
    timeout(LONG, sender.settled(receipt.event())).await.unwrap().unwrap();
    sender.close(LONG).await.unwrap();
    let heard = timeout(LONG, listener).await.unwrap().unwrap();
    assert!(matches!(heard[..], [Notice::Exhausted { .. }, Notice::Settled { .. }]), "{heard:?}");
}

#[test]
fn without_a_runtime_there_is_an_error() {
    assert!(matches!(Sender::volatile(), Err(Error::Io(_))));
}

#[test]
fn everything_can_be_sent_to_another_thread() {
    fn is_send_and_sync<T: Send + Sync + Clone>() {}
    fn is_send(_: impl Send) {}
    is_send_and_sync::<Sender>();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let sender = sender();
        is_send(sender.publish_all([event("a")]));
        is_send(sender.settled(&EventId::new("a").unwrap()));
        is_send(sender.put(once("http://127.0.0.1/")));
        is_send(sender.close(LONG));
    });
}

#[tokio::test]
async fn a_given_machine_is_driven_and_given_back() {
    let server = Server::obliging().await;
    let clock = Clock::start();
    let machine = Machine::new(Config::new().policy(Policy::development()), Seed::from_bytes([9; 32]), clock.now());
    let (commands, given) = tokio::sync::mpsc::unbounded_channel::<MachineCommand>();
    let url = server.url();
    let send = |command: MachineCommand| commands.send(command).unwrap();
    send(Box::new(move |machine, now| {
        machine.put(now, once(&url)).unwrap();
        machine.publish(now, event("order")).unwrap();
    }));
    let closing = async {
        loop {
            let (tell, told) = tokio::sync::oneshot::channel();
            send(Box::new(|machine, _| tell.send(machine.is_settled()).unwrap()));
            if told.await.unwrap() {
                return send(Box::new(|machine, now| machine.close(now, Close::Drain)));
            }
        }
    };
    let settings = Sender::builder();
    let driving = run_machine(machine, MemoryLog::new(), clock, &settings, given);
    let (machine, ()) = timeout(LONG, async { tokio::join!(driving, closing) }).await.unwrap();
    assert_eq!((machine.life(), machine.stats().tally.delivered), (Life::Closed, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_is_reported_once_even_when_an_abort_races_with_its_end() {
    let server = Server::obliging().await;
    let clock = Clock::start();
    let reports: Arc<Mutex<BTreeMap<AttemptId, Vec<Outcome>>>> = Arc::default();
    let sink = Arc::clone(&reports);
    let tell = Arc::new(move |input| {
        let Input::Completed { attempt, outcome } = input else { panic!("only attempts are told") };
        sink.lock().unwrap().entry(attempt).or_default().push(outcome);
    });
    let mut carrier = Sender::builder().carrier(clock, tell, &Handle::current());
    let endpoint = once(&server.url()).concurrency(300);
    let transmits = crate::fixture::attempts(clock, endpoint, 300);
    let ids: Vec<_> = transmits.iter().map(|transmit| transmit.attempt()).collect();
    for (n, transmit) in transmits.into_iter().enumerate() {
        let id = transmit.attempt();
        carrier.transmit(transmit);
        match n % 3 {
            0 => carrier.abort(id),
            1 => sleep(Duration::from_micros(n as u64 * 3)).await,
            _ => {}
        }
    }
    ids.iter().for_each(|id| carrier.abort(*id));
    timeout(LONG, async {
        while reports.lock().unwrap().len() < ids.len() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    sleep(Duration::from_millis(50)).await;
    let reports = reports.lock().unwrap();
    assert!(ids.iter().all(|id| reports[id].len() == 1));
    let count = |wanted: Result<u16, TransportError>| {
        reports.values().filter(|report| report[0].clone().map(|reply| reply.status()) == wanted).count()
    };
    let (delivered, aborted) = (count(Ok(200)), count(Err(TransportError::Aborted)));
    assert_eq!(delivered + aborted, 300);
    assert!(delivered > 0 && aborted > 0, "{delivered} delivered, {aborted} aborted");
}
