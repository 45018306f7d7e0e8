//! Components, their events, and what becomes of handlers that fail.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use pox::{
    CORE, Component, ComponentRegistered, Controller, Core, Down, Event, GoingDown, GoingUp, Input, Level,
    Listen, Result, Up, Verdict,
};

/// What happened, in order.
type Diary = Rc<RefCell<Vec<String>>>;

fn note(diary: &Diary, text: impl Into<String>) {
    diary.borrow_mut().push(text.into());
}

fn read(diary: &Diary) -> Vec<String> {
    std::mem::take(&mut *diary.borrow_mut())
}

struct Rang(u32);
impl Event for Rang {}

struct Question {
    answer: Cell<Option<u32>>,
}
impl Event for Question {}

/// Raises what it is told to.
#[derive(Default)]
struct Bell;
impl Component for Bell {}

/// Listens as it is told to.
struct Ear<F>(Option<F>);
impl<F: FnOnce(&mut Core) -> Result + 'static> Component for Ear<F> {
    fn start(&mut self, core: &mut Core) -> Result {
        self.0.take().map_or(Ok(()), |start| start(core))
    }
}

fn ring(controller: &mut Controller, number: u32) {
    controller.core_mut().call("bell", |_: &mut Bell, core| core.raise(Rang(number))).unwrap();
    controller.handle(Duration::ZERO, Input::Time);
}

#[test]
fn listeners_come_by_priority_and_may_halt_or_leave() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    let add = |core: &mut Core, name: &'static str, how: Listen, verdict: fn(u32) -> Verdict| {
        let diary = Rc::clone(&diary);
        core.listen_with("bell", how, move |(): &mut (), event: &Rang, _: &mut Core| {
            note(&diary, format!("{name} {}", event.0));
            verdict(event.0)
        })
    };
    add(core, "plain", Listen::default(), |_| Verdict::Continue);
    add(core, "late", Listen::priority(-1), |_| Verdict::Continue);
    add(
        core,
        "first",
        Listen::priority(5),
        |number| if number == 2 { Verdict::Halt } else { Verdict::Continue },
    );
    add(core, "once", Listen::priority(4).once(), |_| Verdict::Continue);
    add(
        core,
        "leaves",
        Listen::priority(3),
        |number| if number == 3 { Verdict::Remove } else { Verdict::Continue },
    );
    core.register("bell", Bell).unwrap(); // after those who listen to it
    ring(&mut controller, 1);
    assert_eq!(read(&diary), ["first 1", "once 1", "leaves 1", "plain 1", "late 1"]);
    ring(&mut controller, 2);
    assert_eq!(read(&diary), ["first 2"]);
    ring(&mut controller, 3);
    assert_eq!(read(&diary), ["first 3", "leaves 3", "plain 3", "late 3"]);
    ring(&mut controller, 4);
    assert_eq!(read(&diary), ["first 4", "plain 4", "late 4"]);
}

#[test]
fn listeners_may_change_who_listens_while_they_are_asked() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    let (one, two) = (Rc::clone(&diary), Rc::clone(&diary));
    let last = Rc::new(Cell::new(None));
    let of_last = Rc::clone(&last);
    core.listen("bell", move |(): &mut (), _: &Rang, core: &mut Core| {
        note(&one, "one");
        core.unlisten(of_last.get().unwrap()); // before its turn
        let diary = Rc::clone(&one);
        core.listen("bell", move |(): &mut (), _: &Rang, _: &mut Core| note(&diary, "new"));
    });
    last.set(Some(core.listen("bell", move |(): &mut (), _: &Rang, _: &mut Core| note(&two, "last"))));
    ring(&mut controller, 1);
    assert_eq!(read(&diary), ["one"]);
    ring(&mut controller, 2);
    assert_eq!(read(&diary), ["one", "new"]);
}

#[test]
fn a_handler_that_fails_or_panics_stops_nobody() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    let fails = |core: &mut Core| -> Result {
        core.listen("bell", |_: &mut Failing, event: &Rang, _: &mut Core| -> Result {
            if event.0 == 1 { Err("no use".into()) } else { panic!("at {}", event.0) }
        });
        Ok(())
    };
    struct Failing;
    impl Component for Failing {}
    core.register("failing", Failing).unwrap();
    core.call("failing", |_: &mut Failing, core| fails(core)).unwrap().unwrap();
    let other = Rc::clone(&diary);
    core.listen("bell", move |(): &mut (), event: &Rang, _: &mut Core| note(&other, event.0.to_string()));
    ring(&mut controller, 1);
    ring(&mut controller, 2);
    ring(&mut controller, 3);
    assert_eq!(read(&diary), ["1", "2", "3"]);
    let core = controller.core();
    let health = core.health();
    let failing = health.iter().find(|health| &*health.name == "failing").unwrap();
    assert_eq!((failing.failures, failing.last_failure.as_deref()), (3, Some("panicked: at 3")));
    assert_eq!(core.counters().failures, 3);
    let errors: Vec<String> =
        core.records().filter(|record| record.level == Level::Error).map(ToString::to_string).collect();
    assert_eq!(errors[0], "ERROR failing: no use");
    assert!(core.get::<Failing>("failing").is_some(), "it is still there");
}

#[test]
fn a_handler_given_to_another_component_fails_and_says_so() {
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    core.call("bell", |_: &mut Bell, core| {
        core.listen("bell", |_: &mut Ear<fn(&mut Core) -> Result>, _: &Rang, _: &mut Core| {})
    })
    .unwrap();
    ring(&mut controller, 1);
    let failure = controller.core().health()[1].last_failure.clone().unwrap();
    assert!(
        failure.starts_with("a handler of ") && failure.ends_with("was given to another component"),
        "{failure}"
    );
}

#[test]
fn components_wait_for_one_another_in_any_order() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.call_when_ready(["b", "c"], {
        let diary = Rc::clone(&diary);
        move |(): &mut (), _: &mut Core| note(&diary, "b and c")
    });
    core.call_when_ready(["never"], |(): &mut (), _: &mut Core| -> Verdict { unreachable!() });
    core.register("b", Bell).unwrap();
    controller.handle(Duration::ZERO, Input::Time);
    assert!(read(&diary).is_empty());
    let core = controller.core_mut();
    core.register("c", Bell).unwrap();
    core.call_when_ready(["c", "b"], {
        let diary = Rc::clone(&diary);
        move |(): &mut (), _: &mut Core| note(&diary, "there already")
    });
    controller.handle(Duration::ZERO, Input::Start);
    assert_eq!(read(&diary), ["b and c", "there already"]);
    let core = controller.core();
    assert_eq!(core.missing(), [("core".into(), vec!["never".into()])]);
    let told: Vec<String> = core.records().map(ToString::to_string).collect();
    assert_eq!(told, ["WARNING core: core waits for never, which nobody has launched"]);
}

#[test]
fn the_controller_goes_up_and_down_once() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    let told = |text: &'static str| {
        let diary = Rc::clone(&diary);
        move || note(&diary, text)
    };
    let (a, b, c, d) = (told("going up"), told("up"), told("going down"), told("down"));
    core.listen(CORE, move |(): &mut (), _: &GoingUp, _: &mut Core| a());
    core.listen(CORE, move |(): &mut (), _: &Up, _: &mut Core| b());
    core.listen(CORE, move |(): &mut (), _: &GoingDown, _: &mut Core| c());
    core.listen(CORE, move |(): &mut (), _: &Down, _: &mut Core| d());
    let registered = Rc::clone(&diary);
    core.listen(CORE, move |(): &mut (), event: &ComponentRegistered, _: &mut Core| {
        note(&registered, &*event.name);
    });
    core.register("bell", Bell).unwrap();
    for input in [Input::Start, Input::Start, Input::Stop, Input::Stop] {
        controller.handle(Duration::ZERO, input);
    }
    assert_eq!(read(&diary), ["bell", "going up", "up", "going down", "down"]);
}

#[test]
fn questions_are_answered_at_once_and_not_by_who_asks() {
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    core.call("bell", |_: &mut Bell, core| {
        core.listen("bell", |_: &mut Bell, question: &Question, _: &mut Core| question.answer.set(Some(1)));
    })
    .unwrap();
    core.listen("bell", |(): &mut (), question: &Question, _: &mut Core| question.answer.set(Some(42)));
    let answer =
        core.call("bell", |_: &mut Bell, core| core.ask(Question { answer: Cell::new(None) }).answer.get());
    assert_eq!(answer, Ok(Some(42)));
    assert_eq!(core.counters().busy, 1);
}

#[test]
fn calls_in_a_circle_end() {
    let mut core = Core::default();
    core.register("a", Bell).unwrap();
    core.register("b", Bell).unwrap();
    let circle = core.call("a", |_: &mut Bell, core| {
        core.call("b", |_: &mut Bell, core| core.call("a", |_: &mut Bell, _| ()))
    });
    assert_eq!(
        circle.unwrap().unwrap().unwrap_err().to_string(),
        "'a' is in the midst of something that led to this call"
    );
    assert_eq!(core.call("x", |_: &mut Bell, _| ()).unwrap_err().to_string(), "there is no component 'x'");
    struct Other;
    impl Component for Other {}
    assert!(core.call("a", |_: &mut Other, _| ()).unwrap_err().to_string().starts_with("'a' is not a "));
    let failed = core.call("a", |_: &mut Bell, core| core.call("b", |_: &mut Bell, _| panic!("deep inside")));
    assert_eq!(failed.unwrap().unwrap_err().to_string(), "'b' failed: panicked: deep inside");
    assert!(core.get::<Bell>("b").is_some());
}

#[test]
fn a_component_that_leaves_takes_all_it_has_along() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    core.register("ear", Bell).unwrap();
    let (rang, ticked) = (Rc::clone(&diary), Rc::clone(&diary));
    core.call("ear", move |_: &mut Bell, core| {
        core.listen("bell", move |_: &mut Bell, _: &Rang, core: &mut Core| {
            note(&rang, "rang");
            core.unregister("ear");
        });
        core.every(Duration::from_secs(1), move |_: &mut Bell, _: &mut Core| note(&ticked, "ticked"));
    })
    .unwrap();
    assert_eq!(core.timers(), 1);
    ring(&mut controller, 1);
    ring(&mut controller, 2);
    controller.handle(Duration::from_secs(10), Input::Time);
    assert_eq!(read(&diary), ["rang"]);
    assert_eq!(controller.core().timers(), 0);
    assert!(!controller.core().has("ear"));
    assert!(controller.core_mut().register("ear", Bell).is_ok(), "its name is free again");
}

#[test]
fn a_component_that_does_not_start_is_not_there() {
    let mut core = Core::default();
    let failed = core.register(
        "x",
        Ear(Some(|core: &mut Core| {
            core.every(Duration::from_secs(1), |_: &mut Bell, _: &mut Core| {});
            Err("no".into())
        })),
    );
    assert_eq!(failed.unwrap_err().to_string(), "x: no");
    assert!(!core.has("x") && core.timers() == 0);
    let panicked = core.register("x", Ear(Some(|_: &mut Core| panic!("never"))));
    assert_eq!(panicked.unwrap_err().to_string(), "x: panicked: never");
    core.register("x", Bell).unwrap();
    assert_eq!(core.register("x", Bell).unwrap_err().to_string(), "there is a component 'x' already");
}

#[test]
fn timers_fire_in_order_and_may_be_cancelled() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let core = controller.core_mut();
    let tell = |text: &'static str| {
        let diary = Rc::clone(&diary);
        move |(): &mut (), core: &mut Core| note(&diary, format!("{text} {}", core.now().as_millis()))
    };
    let seconds = Duration::from_secs;
    core.after(seconds(3), tell("three"));
    core.after(seconds(1), tell("one"));
    let cancelled = core.after(seconds(2), tell("two"));
    let every = core.every(seconds(2), tell("every"));
    let mut left = 2;
    core.every(seconds(1), move |(): &mut (), _: &mut Core| {
        left -= 1;
        if left == 0 { Verdict::Remove } else { Verdict::Continue }
    });
    assert!(core.cancel(cancelled) && !core.cancel(cancelled));
    let mut now = Duration::ZERO;
    while let Some(deadline) = controller.next_deadline().filter(|deadline| *deadline <= seconds(5)) {
        assert!(deadline > now, "time goes on");
        now = deadline;
        controller.handle(now, Input::Time);
    }
    assert_eq!(read(&diary), ["one 1000", "every 2000", "three 3000", "every 4000"]);
    // Turns that were missed are not made up for.
    controller.handle(seconds(60), Input::Time);
    assert_eq!(read(&diary), ["every 60000"]);
    assert_eq!(controller.next_deadline(), Some(seconds(62)));
    assert!(controller.core_mut().cancel(every));
    assert_eq!((controller.core().timers(), controller.next_deadline()), (0, None));
}

#[test]
fn events_without_end_are_bounded() {
    let mut controller = Controller::new();
    let core = controller.core_mut();
    core.register("bell", Bell).unwrap();
    core.call("bell", |_: &mut Bell, core| {
        core.listen("bell", |_: &mut Bell, event: &Rang, core: &mut Core| {
            core.raise(Rang(event.0));
            core.raise(Rang(event.0));
        });
    })
    .unwrap();
    ring(&mut controller, 1);
    let counters = controller.core().counters();
    assert!(counters.lost > 0, "{counters:?}");
    assert_eq!(controller.next_deadline(), Some(Duration::ZERO), "the rest waits for the next turn");
}

#[test]
fn other_threads_hand_work_in() {
    let mut controller = Controller::new();
    let woken = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let wakes = std::sync::Arc::clone(&woken);
    controller.on_job(move || {
        wakes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let remote = controller.core().remote();
    let thread = std::thread::spawn(move || remote.ask(|core| core.has("bell")));
    controller.core_mut().register("bell", Bell).unwrap();
    while !thread.is_finished() {
        // Jobs that were there before are announced at once, so there may be none yet.
        if woken.swap(0, std::sync::atomic::Ordering::SeqCst) > 0 {
            controller.handle(Duration::ZERO, Input::Time);
        }
        std::thread::yield_now();
    }
    assert_eq!(thread.join().unwrap(), Ok(true));
    let remote = controller.core().remote();
    drop(controller);
    assert!(remote.post(|_| ()).is_err());
}
