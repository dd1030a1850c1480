//! The demonstration, small.

mod support;

use support::{DRIVERS, run};

#[test]
fn one_order_is_enough() {
    let ran = run(&["demo", "--events", "1"], b"");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains("every one of 1 orders was paid exactly once (webhooks)"), "{}", ran.out);
    assert!(ran.out.ends_with("All books agree.\n"), "{}", ran.out);
}

#[test]
fn the_books_agree_with_both_drivers() {
    for driver in DRIVERS {
        let ran = run(&["demo", "--events", "50", "--driver", driver], b"");
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{driver}: {}", ran.out);
        assert!(ran.out.ends_with("All books agree.\n"), "{driver}: {}", ran.out);
        assert!(!ran.out.contains("WRONG"), "{driver}: {}", ran.out);
        for receiver in ["inventory", "shop", "alerts", "analytics", "archive", "partner", "old-crm"] {
            assert!(ran.out.contains(&format!("\n  {receiver} ")), "{driver}: {receiver}: {}", ran.out);
        }
        assert!(ran.out.contains("every one of 50 orders was paid exactly once (webhooks)"), "{driver}: {}", ran.out);
        assert!(ran.out.contains("every one of 50 orders was paid exactly once (polling)"), "{driver}: {}", ran.out);
    }
}
