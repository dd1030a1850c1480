//! The bodies of one event: each made once for each shape, by whichever thread is first, and shared by all endpoints.

use alloc::boxed::Box;
use std::sync::OnceLock;

use crate::encoding::{EncodeError, Encoded, Shape};
use crate::limits;

type Made = Result<Encoded, EncodeError>;

/// What has been made so far. The shape that most endpoints have has a place of its own, so that the others cost an
/// event nothing before the first of them is wanted.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    plain: OnceLock<Made>,
    others: Link,
}

/// A list that only grows, so that threads read it without waiting for one another.
type Link = OnceLock<Box<Other>>;

#[derive(Debug)]
struct Other {
    shape: Shape,
    made: OnceLock<Made>,
    next: Link,
}

impl Bodies {
    /// The body of this shape, made by `make` where it is the first.
    pub(crate) fn get(&self, shape: &Shape, make: impl FnOnce() -> Made) -> Made {
        let is_plain = shape.is_plain();
        #[cfg(postrider_planted)]
        let is_plain = is_plain || crate::planted::breaks(36);
        if is_plain {
            return self.plain.get_or_init(make).clone();
        }
        let mut link = &self.others;
        for _ in 0..limits::SHARED_BODIES {
            let other = link
                .get_or_init(|| Box::new(Other { shape: shape.clone(), made: OnceLock::new(), next: OnceLock::new() }));
            if other.shape == *shape {
                return other.made.get_or_init(make).clone();
            }
            link = &other.next;
        }
        make()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{Encoding, Message, Payload, Thin, encode};
    use crate::time::UnixTime;
    use alloc::format;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use core::cell::Cell;

    fn shape(number: usize) -> Shape {
        Shape::from(Encoding::Data).with_thin(Thin::new([format!("/{number}")]).unwrap())
    }

    #[test]
    fn each_shape_is_made_once_as_long_as_there_is_room() {
        let payload = Payload::json_bytes(Bytes::from_static(b"[0,1,2,3,4,5,6,7,8,9,10,11]")).unwrap();
        let message = Message::new("e", "a.b", UnixTime::EPOCH, &payload);
        let bodies = Bodies::default();
        let made = Cell::new(0);
        let get = |shape: &Shape| {
            bodies.get(shape, || {
                made.set(made.get() + 1);
                encode(shape, &message)
            })
        };
        let shapes: Vec<_> = (0..limits::SHARED_BODIES).map(shape).collect();
        for round in 0..3 {
            for (number, shape) in shapes.iter().enumerate() {
                assert_eq!(get(shape).unwrap().body, format!("[{number}]"), "round {round}");
            }
            assert_eq!(get(&Shape::default()).unwrap().content_type, "application/json");
        }
        assert_eq!(made.get(), limits::SHARED_BODIES + 1);
        let first = get(&shapes[0]).unwrap();
        assert_eq!(get(&shapes[0]).unwrap().body.as_ptr(), first.body.as_ptr());
        for _ in 0..2 {
            assert_eq!(get(&shape(9)).unwrap().body, "[9]");
        }
        assert_eq!(made.get(), limits::SHARED_BODIES + 3, "beyond the room each is made anew");
    }

    #[test]
    fn what_cannot_be_made_is_tried_once() {
        let bodies = Bodies::default();
        let shape = Shape::from(Encoding::Xml);
        for _ in 0..2 {
            assert_eq!(bodies.get(&shape, || Err(EncodeError::NotJson)), Err(EncodeError::NotJson));
        }
        assert_eq!(bodies.get(&shape, || panic!("it is known")), Err(EncodeError::NotJson));
    }

    /// Before there were shapes, an event had room for two bodies.
    #[test]
    fn an_event_with_no_body_is_small() {
        assert!(size_of::<Bodies>() <= 128, "{} bytes", size_of::<Bodies>());
    }
}
