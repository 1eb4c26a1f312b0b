use super::*;
use tokio::time::advance;

const TEN: Bounds = Bounds::of(10, Some(2));

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn refusal(admission: &Arc<Admission>, address: &str) -> Refusal {
    admission.try_admit(ip(address)).expect_err("refused")
}

#[test]
fn place_is_free_again_when_the_last_clone_is_dropped() {
    let admission = Admission::new(Bounds::of(1, None));
    let permit = admission.try_admit(ip("192.0.2.1")).expect("free");
    let clone = permit.clone();
    drop(permit);
    assert_eq!(refusal(&admission, "192.0.2.2"), Refusal::Full);
    drop(clone);
    assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
}

#[test]
fn one_address_can_not_take_all_places() {
    let admission = Admission::new(TEN);
    let _held = [admission.try_admit(ip("192.0.2.1")), admission.try_admit(ip("::ffff:192.0.2.1"))];
    assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressFull);
    assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
}

#[test]
fn t55_addresses_of_one_ipv6_subnet_count_as_one() {
    let admission = Admission::new(Bounds { max: 10_000, ..TEN });
    let all = (0..1000).map(|host| ip(&format!("2001:db8:0:1::{host:x}")));
    let admitted: Vec<_> = all.filter_map(|address| admission.try_admit(address).ok()).collect();
    assert_eq!(admitted.len(), 2);
    assert_eq!(refusal(&admission, "2001:db8:0:1:ffff::2"), Refusal::AddressFull);
    assert!(admission.try_admit(ip("2001:db8:0:2::1")).is_ok());
}

#[test]
fn connections_without_a_response_are_bounded_until_they_have_one() {
    let address = AddressBounds { pending: Some(2), ..AddressBounds::OFF };
    let admission = Admission::new(Bounds { max: 10, pending: 3, rate: Rate::OFF, address });
    let first = admission.try_admit(ip("192.0.2.1")).expect("free");
    let second = admission.try_admit(ip("192.0.2.1")).expect("free");
    assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressPendingFull);
    let _held = admission.try_admit(ip("192.0.2.2")).expect("free");
    assert_eq!(refusal(&admission, "192.0.2.3"), Refusal::PendingFull);
    first.settle();
    first.settle();
    let fourth = admission.try_admit(ip("192.0.2.1")).expect("one had its response");
    assert_eq!(refusal(&admission, "192.0.2.3"), Refusal::PendingFull);
    drop((second, fourth, first));
    let taken = admission.taken.lock();
    assert_eq!((taken.all, taken.pending), (1, 1));
}

/// What one may open beside others is theirs to use up, and what comes through a proxy is not the proxy's.
#[test]
fn proxy_has_no_bound_of_its_own_and_each_address_behind_it_has() {
    let admission = Admission::new(TEN);
    let proxies: Vec<_> = (0..4).map(|_| admission.try_admit_unaddressed().expect("no bound of an address")).collect();
    let direct = admission.try_admit(ip("192.0.2.1")).expect("free");
    let behind = proxies[0].request_behind(ip("192.0.2.1")).expect("the second of two");
    assert_eq!(proxies[1].request_behind(ip("192.0.2.1")).expect_err("refused"), Refusal::AddressFull);
    assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressFull, "it is the same address");
    let other = proxies[1].connection_behind(ip("192.0.2.2")).expect("another address");
    assert_eq!(admission.taken.lock().all, 5, "what is behind a proxy is no socket of ours");
    drop((behind, direct));
    assert!(proxies[1].request_behind(ip("192.0.2.1")).is_ok());
    drop(proxies);
    assert_eq!(admission.taken.lock().all, 1, "who is behind a proxy keeps its connection");
    drop(other);
    let taken = admission.taken.lock();
    assert_eq!((taken.all, taken.pending), (0, 0));
}

#[test]
fn answer_to_one_behind_a_proxy_settles_the_proxys_connection_too() {
    let address = AddressBounds { pending: Some(1), ..AddressBounds::OFF };
    let admission = Admission::new(Bounds { max: 10, pending: 1, rate: Rate::OFF, address });
    let proxy = admission.try_admit_unaddressed().expect("free");
    let first = proxy.request_behind(ip("192.0.2.1")).expect("free");
    assert_eq!(proxy.request_behind(ip("192.0.2.1")).expect_err("refused"), Refusal::AddressPendingFull);
    assert_eq!(admission.try_admit_unaddressed().expect_err("refused"), Refusal::PendingFull);
    first.settle();
    assert!(proxy.request_behind(ip("192.0.2.1")).is_ok() && admission.try_admit_unaddressed().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_comes_through_a_proxy_comes_at_the_rates_of_its_address() {
    let one = Rate { per_second: 1, burst: 1 };
    let address = AddressBounds { rate: one, requests: one, ..AddressBounds::OFF };
    let admission = Admission::new(Bounds { rate: Rate { per_second: 1, burst: 2 }, address, ..TEN });
    let proxies: Vec<_> = (0..3).map(|_| admission.try_admit_unaddressed().expect("at any rate")).collect();
    let request = |address| proxies[0].request_behind(ip(address)).expect("without a bound");
    let first = request("192.0.2.1");
    assert_eq!((first.begin_request(), first.begin_connection()), (Ok(None), Ok(())));
    let second = request("192.0.2.1");
    assert_eq!(second.begin_request(), Ok(Some(clock::now() + Duration::from_secs(1))), "it waits");
    assert_eq!(second.begin_request(), Err(Refusal::AddressRate), "too long, and is not counted");
    assert_eq!(second.begin_request(), Err(Refusal::AddressRate));
    assert_eq!(second.begin_connection(), Err(Refusal::AddressRate));
    let other = request("192.0.2.2");
    assert_eq!((other.begin_request(), other.begin_connection()), (Ok(None), Ok(())), "it has its own");
    assert_eq!(proxies[1].connection_behind(ip("192.0.2.3")).expect_err("refused"), Refusal::AcceptRate);
    drop((first, second, other));
    let later = request("192.0.2.1");
    assert!(later.begin_request() != Ok(None), "the address is remembered");
}

#[test]
fn who_is_known_is_counted_with_all_and_not_with_its_address() {
    let admission = Admission::new(Bounds::of(4, Some(2)));
    let known: Vec<_> = (0..3)
        .map(|_| {
            let permit = admission.try_admit(ip("192.0.2.1")).expect("free");
            permit.count_as(QuotaPlace::for_test());
            permit
        })
        .collect();
    let unknown = admission.try_admit(ip("192.0.2.1")).expect("free");
    assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::Full);
    assert_eq!(admission.try_admit_known(QuotaPlace::for_test()).map(drop), Err(Refusal::Full));
    drop(known);
    let elsewhere = admission.try_admit_known(QuotaPlace::for_test()).expect("free");
    drop((unknown, elsewhere));
    let taken = admission.taken.lock();
    assert_eq!((taken.all, taken.pending), (0, 0));
    assert!(taken.addresses.check(&admission.bounds.address, ip("192.0.2.1")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn t33_connections_of_one_address_come_at_a_rate() {
    let rate = Rate { per_second: 20, burst: 100 };
    let address = AddressBounds { rate, ..AddressBounds::OFF };
    let admission = Admission::new(Bounds { address, ..TEN });
    // Ten thousand in ten seconds, each gone at once.
    let mut admitted = 0;
    for _ in 0..10_000 {
        advance(Duration::from_millis(1)).await;
        admitted += usize::from(admission.try_admit(ip("192.0.2.1")).is_ok());
    }
    assert!((299..=301).contains(&admitted), "{admitted}");
    assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressRate);
    assert!(admission.try_admit(ip("192.0.2.2")).is_ok(), "another address has its own");
}

#[tokio::test(start_paused = true)]
async fn connections_come_at_a_rate_in_all_and_who_is_refused_costs_nothing() {
    let address = AddressBounds { rate: Rate { per_second: 1, burst: 1 }, ..AddressBounds::OFF };
    let admission = Admission::new(Bounds { rate: Rate { per_second: 1, burst: 3 }, address, ..TEN });
    assert!(admission.try_admit(ip("192.0.2.1")).is_ok());
    for _ in 0..10 {
        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressRate);
    }
    assert!(admission.try_admit(ip("192.0.2.2")).is_ok() && admission.try_admit(ip("192.0.2.3")).is_ok());
    assert_eq!(refusal(&admission, "192.0.2.4"), Refusal::AcceptRate);
    advance(Duration::from_secs(1)).await;
    assert!(admission.try_admit(ip("192.0.2.4")).is_ok(), "its own token was not taken");
}
