//! No sequence of requests leaves the transition table (UWS 1.1 §2.1.3).

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use proptest::test_runner::{Config, TestRunner};
use uwsd::domain::Phase;
use uwsd::ports::Store;

use crate::bed::{Bed, Daemon};
use crate::operator;
use crate::uws::{FORM, LIST, create};

#[derive(Debug, Clone)]
enum Step {
    Run,
    Abort,
    Destroy,
    Delete,
    Limit(u8),
    Parameters,
    End(u8),
    Wait,
    /// An operator's.
    Order(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Run),
        2 => Just(Step::Abort),
        1 => Just(Step::Destroy),
        1 => Just(Step::Delete),
        1 => any::<u8>().prop_map(Step::Limit),
        1 => Just(Step::Parameters),
        2 => any::<u8>().prop_map(|code| Step::End(code % 3)),
        1 => Just(Step::Wait),
        3 => prop_oneof![Just("hold"), Just("release"), Just("suspend"), Just("resume")].prop_map(Step::Order),
    ]
}

/// Sends one request; the statuses that it may have.
async fn take(daemon: &Daemon, id: &str, step: &Step) {
    let client = daemon.client();
    let post =
        async |below: &str, form: &str| client.send("POST", &format!("{LIST}/{id}{below}"), &[FORM], form).await.status;
    let (status, allowed): (u16, &[u16]) = match step {
        Step::Run => (post("/phase", "PHASE=RUN").await, &[303, 403, 404]),
        Step::Abort => (post("/phase", "PHASE=ABORT").await, &[303, 403, 404]),
        Step::Destroy => (post("/destruction", "DESTRUCTION=2000-01-01").await, &[303, 404]),
        Step::Delete => (client.send("DELETE", &format!("{LIST}/{id}"), &[], "").await.status, &[303, 404]),
        Step::Limit(seconds) => {
            let form = format!("EXECUTIONDURATION={}", u32::from(*seconds) + 60);
            (post("/executionduration", &form).await, &[303, 403, 404])
        }
        Step::Parameters => (post("/parameters", "COMMAND=print+1&X=1").await, &[303, 403, 404]),
        Step::End(code) => {
            daemon.engine.end_by_itself(i32::from(*code));
            return;
        }
        Step::Order(order) => (operator::order(daemon, id, order).await.status, &[200, 403, 404]),
        Step::Wait => (client.get(&format!("{LIST}/{id}?WAIT=1&PHASE=QUEUED")).await.status, &[200, 404]),
    };
    assert!(allowed.contains(&status), "{step:?} was answered {status}");
}

#[test]
fn no_sequence_of_requests_leaves_the_transition_table() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let daemon = runtime.block_on(operator::with_socket(Bed::new()).start());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let sequences = proptest::collection::vec(step(), 1..10);
    let seen = Mutex::new(BTreeMap::new());
    // Read after every step: a job that has ended and is deleted is forgotten with its events.
    let look = async || {
        let after = seen.lock().expect("whole").last_key_value().map_or(0, |(seq, _)| *seq);
        let events = daemon.store.events(after, 1000).await.expect("events");
        seen.lock().expect("whole").extend(events.into_iter().map(|event| (event.seq, event)));
    };
    let ran = runner.run(&sequences, |steps| {
        runtime.block_on(async {
            let id = create(&daemon, "COMMAND=hang").await;
            for step in &steps {
                look().await;
                take(&daemon, &id, step).await;
            }
            look().await;
            // Nothing of this sequence is left for the next one.
            take(&daemon, &id, &Step::Delete).await;
        });
        Ok(())
    });
    ran.expect("every sequence is met");
    let seen = seen.into_inner().expect("whole");
    assert!(seen.len() > 100, "{} events", seen.len());
    let mut phases: HashMap<_, Phase> = HashMap::new();
    for event in seen.into_values() {
        let before = phases.insert(event.job, event.to);
        assert!(before.is_none() || before == event.from, "{event:?} after {before:?}");
        match event.from {
            None => assert!(matches!(event.to, Phase::Pending | Phase::Queued), "{event:?}"),
            Some(from) => assert!(from.may_become(event.to), "{event:?}"),
        }
    }
}
