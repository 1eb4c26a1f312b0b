use super::*;
use crate::clock;
use http::Uri;

const START: u64 = 1_800_000_000;

fn table(change: impl FnOnce(&mut HookSettings)) -> Table {
    let mut settings = HookSettings::new(Uri::from_static("https://hook.example/"));
    change(&mut settings);
    Table::new(&settings)
}

/// So many seconds after the start.
fn at(seconds: u64) -> Now {
    Now { instant: clock::now() + Duration::from_secs(seconds), unix: START + seconds }
}

fn token(text: &str) -> Token {
    Token::new(text).expect("a token")
}

fn ann() -> HookAnswer {
    HookAnswer::parse(br#"{"name":"ann","roles":["observer"]}"#).expect("an answer")
}

/// Asks about it, and has it recognised.
fn recognised(table: &mut Table, text: &str, now: Now) -> Arc<Principal> {
    let Begun::Waits(outcome) = table.begin(&token(text), None, now) else { panic!("known already") };
    let ask = table.next(now.instant).expect("it is asked about");
    table.on_recognised(ask, ann(), now);
    let Some(Outcome::Recognised(principal)) = outcome.borrow().clone() else { panic!("not told") };
    principal
}

#[tokio::test(start_paused = true)]
async fn who_is_here_is_asked_about_again_and_the_same_answer_lets_them_stay() {
    let mut table = table(|_| ());
    let ann_is_here = recognised(&mut table, "a", at(0));
    assert_eq!(table.look(at(59)), (0, 0));
    assert!(table.next(at(59).instant).is_none());
    for minute in 1..30 {
        let now = at(minute * 60);
        assert_eq!(table.look(now), (0, 0));
        let ask = table.next(now.instant).expect("due");
        assert!(table.next(now.instant).is_none(), "once");
        assert!(matches!(table.begin(&token("a"), None, now), Begun::Waits(_)), "whoever comes now waits for it");
        table.on_recognised(ask, ann(), now);
        assert!(!ann_is_here.is_over(now.unix));
    }
    assert!(ann_is_here.is_over(at(29 * 60 + 601).unix), "and not for ever");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_who_has_left_and_half_of_the_places_are_for_those_who_come() {
    let mut table = table(|settings| (settings.asks, settings.waiting) = (4, 2));
    let here: Vec<_> = (0..8).map(|number| recognised(&mut table, &format!("t{number}"), at(0))).collect();
    table.look(at(60));
    let asked: Vec<Ask> = std::iter::from_fn(|| table.next(at(60).instant)).collect();
    assert_eq!(asked.len(), 2);
    let come = |table: &mut Table, text: &str| table.begin(&token(text), None, at(60));
    let waiting: Vec<_> = (0..4).map(|number| come(&mut table, &format!("new{number}"))).collect();
    assert!(waiting.iter().all(|begun| matches!(begun, Begun::Waits(_))));
    assert!(matches!(come(&mut table, "more"), Begun::Busy));
    assert!(table.next(at(60).instant).is_some_and(|ask| !ask.is_again));
    drop(waiting);
    let next = table.next(at(60).instant);
    assert!(next.is_none_or(|ask| ask.is_again), "those who gave up are not asked about");
    drop(here);
    for ask in asked {
        table.on_failed(&ask, at(61));
    }
    table.look(at(62));
    assert_eq!(table.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn whose_answer_is_only_kept_is_not_asked_about_again_until_somebody_is_here() {
    let mut table = table(|settings| settings.cache = Duration::from_secs(600));
    drop(recognised(&mut table, "a", at(0)));
    let here = recognised(&mut table, "b", at(0));
    let asked = |table: &mut Table, second: u64| {
        table.look(at(second));
        std::iter::from_fn(|| table.next(at(second).instant)).collect::<Vec<_>>()
    };
    let [again]: [Ask; 1] = asked(&mut table, 60).try_into().expect("one is here");
    assert!(again.hash == token("b").hash());
    table.on_recognised(again, ann(), at(60));
    // One who came before it was asked again is by the answer of then.
    assert!(asked(&mut table, 89).is_empty());
    let Some(Outcome::Recognised(_later)) = table.kept(&token("a").hash(), at(90)) else { panic!("kept") };
    let [again]: [Ask; 1] = asked(&mut table, 91).try_into().expect("at once, for it may end soon");
    assert!(again.hash == token("a").hash());
    table.on_recognised(again, ann(), at(91));
    assert_eq!(asked(&mut table, 151).len(), 2);
    drop(here);
}

/// So many come that nobody else asks about, and as many of them as may are asked about.
fn storm(table: &mut Table, size: usize) -> (Vec<watch::Receiver<Option<Outcome>>>, Vec<Ask>) {
    let come = |number: usize| match table.begin(&token(&format!("junk{number}")), None, at(60)) {
        Begun::Waits(outcome) => outcome,
        _ => panic!("does not wait"),
    };
    let waiting = (0..size).map(come).collect();
    (waiting, std::iter::from_fn(|| table.next(at(60).instant)).collect())
}

#[tokio::test(start_paused = true)]
async fn newcomers_of_any_number_leave_a_place_to_who_is_here() {
    for asks in [2, 3, 4, 32] {
        for size in 0..=asks + 2 {
            let mut table = table(|settings| settings.asks = asks);
            let _here = recognised(&mut table, "a", at(0));
            let (_waiting, asked) = storm(&mut table, size);
            assert_eq!(asked.len(), size.min(asks), "nobody is due");
            table.look(at(60));
            // If all places are taken, the first that is free is for who is here.
            for ask in asked.iter().skip(asks - 1) {
                table.on_denied(ask, at(60));
            }
            let next = table.next(at(60).instant).expect("a place is free");
            assert!(next.is_again || size < asks, "{size} of {asks}");
            let is_asked = next.is_again || table.next(at(60).instant).is_some_and(|ask| ask.is_again);
            assert!(is_asked, "{size} of {asks}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_the_queue_and_hangs_up_is_asked_about_again_all_the_same() {
    let mut table = table(|settings| (settings.asks, settings.cache) = (4, Duration::from_secs(1)));
    let _here = recognised(&mut table, "a", at(0));
    let (_waiting, asked) = storm(&mut table, 10);
    assert_eq!(asked.len(), 4);
    let Begun::Waits(outcome) = table.begin(&token("a"), None, at(60)) else { panic!("known still") };
    table.look(at(60));
    table.on_denied(&asked[0], at(60));
    let next = table.next(at(60).instant).expect("a place is free");
    assert!(next.hash == token("a").hash() && next.is_again);
    drop(outcome);
    table.on_denied(&next, at(61));
    assert_eq!(table.look(at(61)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_in_memory_only_as_far_as_answers_may_take_it_and_go_with_them() {
    let mut table = table(|settings| settings.kept = 100);
    let here = recognised(&mut table, "here", at(0));
    for number in 0..300 {
        recognised(&mut table, &format!("{}{number}", "x".repeat(8_000)), at(0));
        table.look(at(0));
    }
    // 100 KiB of those that were used last, and of those before.
    assert!((12..26).contains(&table.live()), "{}", table.live());
    table.forget();
    table.look(at(1));
    assert_eq!(table.live(), 1, "who is here");
    assert!(matches!(table.begin(&token("here"), None, at(1)), Begun::Waits(_)));
    assert!(!here.is_over(at(1).unix));
}

#[tokio::test(start_paused = true)]
async fn lease_ends_when_the_hook_is_silent_and_so_does_what_was_kept() {
    let mut table = table(|settings| settings.stale = Duration::from_secs(120));
    let ann_is_here = recognised(&mut table, "a", at(0));
    for second in 1..=120 {
        assert_eq!(table.look(at(second)), (0, 0), "{second}");
        if let Some(ask) = table.next(at(second).instant) {
            table.on_failed(&ask, at(second));
        }
    }
    assert_eq!(table.look(at(121)), (0, 1));
    assert!(ann_is_here.is_over(at(121).unix));
    // She may hold a lease by it: what the hook says of it concerns her still.
    let asked = (122..400).find_map(|second| {
        assert_eq!(table.look(at(second)), (0, 0), "it was counted once");
        table.next(at(second).instant).map(|ask| (ask, second))
    });
    let (ask, second) = asked.expect("it is asked about");
    table.on_denied(&ask, at(second));
    assert_eq!((table.look(at(second)), table.live()), ((1, 0), 0));
}
