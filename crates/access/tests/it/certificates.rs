//! Certificates of clients, from authorities made here.

use std::sync::Arc;

use cuttlebone_access::{
    Access, CertificateRule, CertificateTrust, Certificates, Chain, Denied, Look, NameKind, Principal, Revoked, Role,
    Roles, RuleFault, Settings, TrustFault,
};
use cuttlebone_proto::DeviceId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, DnValue,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// In 2027.
const NOW: u64 = 1_800_000_000;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(of_authority(name), KeyPair::generate().expect("a key")).expect("an authority")
}

/// For a client with these names.
/// One that may vouch for names below lab.example only.
fn of_some_names(mut params: CertificateParams) -> CertificateParams {
    let permitted_subtrees = vec![GeneralSubtree::DnsName("lab.example".to_owned())];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    params
}

fn client(names: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

fn sign(params: &CertificateParams, issuer: &Issuer) -> Chain {
    let certificate = params.signed_by(&KeyPair::generate().expect("a key"), issuer).expect("signed");
    Chain::new([certificate.der().as_ref()]).expect("a chain")
}

fn rule(kind: NameKind, name: &str, role: Role, devices: &[&str]) -> CertificateRule {
    CertificateRule {
        kind,
        name: name.parse().expect("a pattern"),
        roles: Roles::NONE.with(role),
        devices: Some(devices.iter().map(|pattern| (*pattern).to_owned()).collect()),
        tenant: None,
    }
}

/// Each DNS name of the laboratory is a device of that name.
fn usual() -> Vec<CertificateRule> {
    vec![rule(NameKind::Dns, "*.lab.example", Role::Device, &["{name}"])]
}

fn trust(issuer: &Issuer) -> CertificateTrust {
    CertificateTrust::new(&issuer.pem()).expect("trust")
}

fn settings(trust: CertificateTrust, rules: Vec<CertificateRule>) -> Settings {
    Settings { certificates: Some(Certificates::new(trust, rules).expect("good rules")), ..Settings::default() }
}

fn recognise(issuer: &Issuer, rules: Vec<CertificateRule>, chain: &Chain) -> Result<Arc<Principal>, Denied> {
    Access::new(settings(trust(issuer), rules)).authenticate_certificate(chain, NOW)
}

fn may_register(principal: &Principal, id: &str) -> bool {
    principal.may_register(&DeviceId::new(id).expect("an id"))
}

#[test]
fn name_gives_an_identity_roles_devices_and_a_tenant() {
    let issuer = authority("ours");
    let mut device = rule(NameKind::Dns, "*.lab.example", Role::Device, &["lab/{*}", "{name}:*"]);
    device.tenant = "lab".parse().ok();
    let chain = sign(&client(&[dns("other.example"), dns("CVD-1.lab.example")]), &issuer);
    let principal = recognise(&issuer, vec![device], &chain).expect("recognised");
    assert_eq!(principal.identity(), "cert:dns:cvd-1.lab.example");
    assert_eq!(principal.name(), "cvd-1.lab.example");
    assert_eq!(principal.tenant().map(|tenant| tenant.as_str()), Some("lab"));
    for (id, may) in [("lab/cvd-1", true), ("cvd-1.lab.example:0", true), ("lab/cvd-2", false), ("lab/", false)] {
        assert_eq!(may_register(&principal, id), may, "{id}");
    }
    assert!(!principal.may_list());
}

#[test]
fn each_kind_of_name_is_its_own() {
    let issuer = authority("ours");
    let mut params = client(&[
        dns("d.example"),
        SanType::URI("spiffe://lab/d".try_into().expect("a URI")),
        SanType::Rfc822Name("d@lab.example".try_into().expect("an address")),
    ]);
    params.distinguished_name.push(DnType::CommonName, "d the device");
    let chain = sign(&params, &issuer);
    let names = ["d.example", "spiffe://lab/d", "d@lab.example", "d the device"];
    for (at, kind) in NameKind::ALL.into_iter().enumerate() {
        for (other, name) in names.into_iter().enumerate() {
            let found = recognise(&issuer, vec![rule(kind, name, Role::Observer, &["*"])], &chain);
            let expected = if at == other { Ok(format!("cert:{kind}:{name}")) } else { Err(Denied::CertificateName) };
            assert_eq!(found.map(|principal| principal.identity().to_owned()), expected);
        }
    }
}

/// What an authority may vouch for binds it in the alternative names. Nothing binds it in the common name.
#[test]
fn authority_of_some_names_vouches_for_no_common_name() {
    let root = authority("ours");
    let params = of_some_names(of_authority("the lab"));
    let lab = CertifiedIssuer::signed_by(params.clone(), KeyPair::generate().expect("a key"), &root).expect("signed");
    let lab_alone = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let rules = [rule(NameKind::CommonName, "guest-*", Role::Client, &["x"]), usual().remove(0)];
    let named = |dns_name: &str, common: &str| {
        let mut params = client(&[dns(dns_name)]);
        params.distinguished_name.push(DnType::CommonName, common);
        params
    };
    let signed = |params: &CertificateParams, by: &Issuer, issuers: &[&Issuer]| {
        let leaf = params.signed_by(&KeyPair::generate().expect("a key"), by).expect("signed");
        let others = issuers.iter().map(|issuer| issuer.der().as_ref());
        Chain::new([leaf.der().as_ref()].into_iter().chain(others)).expect("a chain")
    };
    let found = |trusted: &Issuer, chain: &Chain| {
        recognise(trusted, rules.to_vec(), chain).map(|principal| principal.identity().to_owned())
    };
    for (by, sent, trusted) in [(&lab, &[&lab][..], &root), (&lab_alone, &[], &lab_alone)] {
        let ours = signed(&named("d.lab.example", "d.lab.example"), by, sent);
        assert_eq!(found(trusted, &ours).as_deref(), Ok("cert:dns:d.lab.example"));
        // It may be a guest, whom the second rule is not for.
        let guest = signed(&named("d.lab.example", "guest-1"), by, sent);
        assert_eq!(found(trusted, &guest), Err(Denied::CertificateName));
    }
    let foreign = signed(&named("d.other.example", "d"), &lab, &[&lab]);
    assert_eq!(found(&root, &foreign), Err(Denied::Certificate));
    let free = signed(&named("d.lab.example", "guest-1"), &root, &[]);
    assert_eq!(found(&root, &free).as_deref(), Ok("cert:common_name:guest-1"));
}

/// Of one authority with two certificates, in whatever order.
#[test]
fn authority_that_may_vouch_for_any_name_does_whatever_another_may() {
    let free = authority("ours");
    let bound = of_some_names(of_authority("ours")).self_signed(free.key()).expect("signed").pem();
    let mut params = client(&[]);
    params.distinguished_name.push(DnType::CommonName, "boss");
    let chain = sign(&params, &free);
    let rules = || vec![rule(NameKind::CommonName, "boss", Role::Admin, &["*"])];
    for authorities in [bound.clone() + &free.pem(), free.pem() + &bound] {
        let trust = CertificateTrust::new(&authorities).expect("trust");
        assert!(Access::new(settings(trust, rules())).authenticate_certificate(&chain, NOW).is_ok());
    }
}

#[test]
fn first_rule_that_fits_counts() {
    let issuer = authority("ours");
    let chain = sign(&client(&[dns("admin.lab.example")]), &issuer);
    let rules = vec![
        rule(NameKind::Dns, "admin.*", Role::Admin, &["*"]),
        rule(NameKind::Dns, "*.lab.example", Role::Device, &["{name}"]),
    ];
    assert!(recognise(&issuer, rules, &chain).expect("recognised").has(Role::Admin));
}

/// A rule may be there to give somebody less than the next one gives everybody.
#[test]
fn rule_that_fits_and_makes_no_pattern_leaves_its_name_to_no_other() {
    let issuer = authority("ours");
    let mut params = client(&[]);
    params.distinguished_name.push(DnType::CommonName, format!("guest-{}", "x".repeat(245)));
    let chain = sign(&params, &issuer);
    let guests = |devices: &str| rule(NameKind::CommonName, "guest-*", Role::Client, &[devices]);
    let everybody = || rule(NameKind::CommonName, "*", Role::Admin, &["*"]);
    let found = recognise(&issuer, vec![guests("{name}"), everybody()], &chain).expect("251 bytes");
    assert!(!found.has(Role::Admin));
    let found = recognise(&issuer, vec![guests("of/{name}/here"), everybody()], &chain);
    assert_eq!(found.err(), Some(Denied::CertificateName), "a pattern has 256 bytes");
    let mut params = client(&[]);
    params.distinguished_name.push(DnType::CommonName, "guest-");
    let chain = sign(&params, &issuer);
    for devices in ["{*}", "{*}*", "*{*}", "a/{*}"] {
        let found = recognise(&issuer, vec![guests(devices), everybody()], &chain);
        assert_eq!(found.err(), Some(Denied::CertificateName), "nothing is no name: {devices}");
    }
    assert!(recognise(&issuer, vec![guests("{name}")], &chain).is_ok());
}

/// Whether the first rule is for it nobody can say; the second is for others.
#[test]
fn name_that_can_not_be_read_leaves_its_certificate_to_no_later_rule() {
    let issuer = authority("ours");
    let rules = || {
        let guests = rule(NameKind::CommonName, "guest-*", Role::Client, &["a"]);
        vec![guests, rule(NameKind::Dns, "*.lab.example", Role::Admin, &["*"])]
    };
    let named = |values: Vec<(DnType, DnValue)>| {
        let mut params = client(&[dns("*.lab.example"), dns("d.lab.example")]);
        values.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
        sign(&params, &issuer)
    };
    let recognise = |chain: &Chain| recognise(&issuer, rules(), chain).map(|principal| principal.identity().to_owned());
    let second = DnType::CustomDnType(vec![2, 5, 4, 3]);
    for (what, chain) in [
        ("ASCII", named(vec![(DnType::CommonName, DnValue::Ia5String("guest-1".try_into().expect("ASCII")))])),
        ("long", named(vec![(DnType::CommonName, DnValue::Utf8String(format!("guest-{}", "x".repeat(248))))])),
        ("a star", named(vec![(DnType::CommonName, "guest-*".into())])),
        ("the second", named(vec![(DnType::CommonName, "x".into()), (second.clone(), "guest-1".into())])),
    ] {
        assert_eq!(recognise(&chain), Err(Denied::CertificateName), "{what}");
    }
    // What fits, fits beside others that can't be read.
    for (name, identity) in [("guest-1", "cert:common_name:guest-1"), ("x", "cert:dns:d.lab.example")] {
        assert_eq!(recognise(&named(vec![(DnType::CommonName, name.into())])).as_deref(), Ok(identity));
    }
    let both = named(vec![(DnType::CommonName, "guest-1".into()), (second, "x".into())]);
    assert_eq!(recognise(&both).as_deref(), Ok("cert:common_name:guest-1"));
}

/// What a peer sends along may be whatever it likes, and another each time.
#[test]
fn certificate_is_looked_at_once_whatever_is_sent_along() {
    let root = authority("root");
    let between = of_authority("between");
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().expect("a key"), &root).expect("signed");
    let access = Access::new(settings(trust(&root), usual()));
    let leaf = client(&[dns("d.lab.example")]).signed_by(&KeyPair::generate().expect("a key"), &between);
    let leaf = leaf.expect("signed");
    let junk = |byte: u8| vec![byte; 10_000];
    let needed = || between.der().to_vec();
    let chains = [vec![junk(1), needed()], vec![needed()], vec![needed(), junk(2)], vec![junk(3)]].map(|others| {
        let others = others.iter().map(Vec::as_slice);
        Chain::new([leaf.der().as_ref()].into_iter().chain(others)).expect("a chain")
    });
    let found = chains.each_ref().map(|chain| access.authenticate_certificate(chain, NOW).expect("recognised"));
    assert!(found.iter().all(|principal| Arc::ptr_eq(principal, &found[0])) && access.remembered().0 == 1);
    assert!(!access.is_still_good(&found[0]), "by nothing");
    // Another server looks at it once, too.
    let another = Access::new(settings(trust(&root), usual()));
    assert!(chains.iter().all(|chain| another.is_still_good_by(&found[0], Some(chain), NOW)));
    assert_eq!(another.remembered().0, 1);
    let half = Access::new(settings(trust(&root), usual()));
    assert_eq!(half.authenticate_certificate(&chains[3], NOW).err(), Some(Denied::Certificate));
}

/// Certificates are recognised, and needed for every connection.
fn both(trust: CertificateTrust) -> Settings {
    Settings { required: Some(trust.clone()), ..settings(trust, usual()) }
}

/// All who are connected are looked at again where it counts, and only there.
#[test]
fn what_was_found_out_is_good_as_long_as_nothing_changes_that_counts_for_it() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let chain = sign(&client(&[dns("d.lab.example")]), &ours);
    let old = Access::new(both(trust(&ours)));
    assert!(old.authenticate_certificate(&chain, NOW).is_ok() && old.vouches_for(&chain, NOW));
    let remembered = |settings: Settings| Access::new(settings).after(&old).remembered().0;
    let revoked = Revoked::parse("token:x").expect("a line");
    assert_eq!(remembered(Settings { revoked, ..both(trust(&ours)) }), 2);
    assert_eq!(remembered(both(trust(&theirs))), 0);
    let listed = trust(&ours).without_revoked(&list(&ours, &[])).expect("a list");
    assert_eq!(remembered(both(listed.clone())), 0);
    assert_eq!(remembered(both(listed.with_lists_of(&trust(&theirs)))), 2, "the same authorities, and no list");
    assert_eq!(remembered(settings(trust(&ours), usual())), 1, "none is needed any more");
    let rules = vec![rule(NameKind::Dns, "*.lab.example", Role::Client, &["{name}"])];
    assert_eq!(remembered(settings(trust(&ours), rules)), 0);
    assert_eq!(remembered(Settings { verified: 7, ..both(trust(&ours)) }), 0, "another bound");
    assert_eq!(remembered(Settings::default()), 0);
}

/// Who is looked at often is verified once, also where more come than are remembered.
#[test]
fn what_was_found_out_of_a_certificate_is_not_looked_for_again_while_it_is_so() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let chain = sign(&client(&[dns("d.lab.example")]), &ours);
    let access = Access::new(both(trust(&ours)));
    let principal = access.authenticate_certificate(&chain, NOW).expect("recognised");
    let (who, mut found) = ((Some(&*principal), Some(&chain)), None);
    let good = |access: &Access, found: &mut Option<_>| access.look_at(who, (NOW, NOW), found) == Look::Good;
    assert!(good(&access, &mut found) && found.is_some());
    access.forget();
    assert!(good(&access, &mut found) && access.remembered().0 == 0, "nobody has looked");
    // Another token comes: nothing changes for a certificate. A line that takes it back does.
    let after = |settings: Settings| Access::new(settings).after(&access);
    let revoked = |line: &str| Settings { revoked: Revoked::parse(line).expect("a line"), ..both(trust(&ours)) };
    let another = after(revoked("token:x"));
    assert!(good(&another, &mut found) && another.remembered().0 == 0);
    assert!(!good(&after(revoked("cert:dns:d.lab.example")), &mut found.clone()));
    // Another authority, other rules, a list.
    assert!(!good(&after(both(trust(&theirs))), &mut found.clone()));
    let rules = vec![rule(NameKind::Dns, "*.lab.example", Role::Client, &["{name}"])];
    assert!(!good(&after(settings(trust(&ours), rules)), &mut found.clone()));
    let listed = trust(&ours).without_revoked(&list(&ours, &[])).expect("a list");
    let listed = after(both(listed));
    assert!(good(&listed, &mut found.clone()) && listed.remembered().0 == 2, "looked at anew");
    // Its end takes nothing back, and is looked at once as well; but for that it was good when it was seen last.
    let late = 1 << 40;
    for _ in 0..2 {
        access.forget();
        assert_eq!(access.look_at(who, (late, NOW), &mut found), Look::Over);
    }
    assert_eq!(access.remembered().0, 0, "nobody has looked");
    assert_eq!(after(both(trust(&theirs))).look_at(who, (late, NOW), &mut found.clone()), Look::TakenBack);
    let mut none = None;
    assert_eq!(access.look_at(who, (late, late - 1), &mut none), Look::TakenBack, "it was not");
    assert!(none.is_none(), "and is not taken for one that was");
    assert!(good(&access, &mut found), "a clock that was set back");
}

/// Who is nobody may show that with each request, where anybody is served.
#[test]
fn who_stands_for_nobody_is_looked_at_now_and_then() {
    let issuer = authority("ours");
    let access = Access::new(settings(trust(&issuer), usual()));
    let mut params = client(&[dns("d.lab.example")]);
    params.not_before = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(NOW + 5);
    let chain = sign(&params, &issuer);
    let at = |seconds: u64| access.authenticate_certificate(&chain, NOW + seconds).map(drop);
    assert_eq!(at(0), Err(Denied::Certificate), "not good yet");
    assert_eq!((at(9), access.remembered().0), (Err(Denied::Certificate), 1), "it is, and nobody has looked");
    assert_eq!(at(10), Ok(()));
    // Many may be connected by one that is not good any more.
    let principal = access.authenticate_certificate(&chain, NOW + 10).expect("recognised");
    let none = trust(&authority("theirs"));
    let access = Access::new(Settings { required: Some(none.clone()), ..settings(none, usual()) });
    for _ in 0..2 {
        assert!(!access.accepts(&principal, Some(&chain), NOW) && !access.vouches_for(&chain, NOW));
        assert_eq!(access.remembered().0, 2);
    }
    // But not of a time that is over.
    assert!(!access.is_still_good_by(&principal, Some(&chain), NOW + 20) && !access.vouched_for(&chain, NOW + 20));
    assert!(!access.vouches_for(&chain, NOW + 9) && access.remembered().0 == 2);
}

/// It may have been shown alone a moment ago, when it was not good yet.
#[test]
fn who_was_nobody_a_moment_ago_is_somebody_when_the_time_has_come() {
    let issuer = authority("ours");
    let access = Access::new(settings(trust(&issuer), usual()));
    let mut params = client(&[dns("d.lab.example")]);
    params.not_before = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(NOW + 5);
    let leaf = params.signed_by(&KeyPair::generate().expect("a key"), &issuer).expect("signed");
    let own = leaf.der().as_ref();
    let [alone, beside] = [vec![own], vec![own, b"junk"]].map(|chain| Chain::new(chain).expect("a chain"));
    assert!(access.authenticate_certificate(&alone, NOW).is_err());
    for chain in [&beside, &alone] {
        assert!(access.authenticate_certificate(chain, NOW + 5).is_ok());
    }
}

/// T20: authorities come and go, and whoever both vouch for stays, if it is for as long.
#[test]
fn t20_certificate_stays_good_while_authorities_take_turns() {
    let (old, new, other) = (authority("old"), authority("new"), authority("other"));
    let key = KeyPair::generate().expect("a key");
    let mut params = of_authority("between");
    let [by_old, by_new] = [(&old, 2031), (&new, 2032)].map(|(root, end)| {
        params.not_after = date_time_ymd(end, 1, 1);
        params.signed_by(&key, root).expect("signed").der().to_vec()
    });
    let between = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let trusting = |authorities: &[&Issuer]| {
        let pem: String = authorities.iter().map(|issuer| issuer.pem()).collect();
        Access::new(settings(CertificateTrust::new(&pem).expect("trust"), usual()))
    };
    let stays = |end: i32, before: &[&Issuer], after: &[&Issuer]| {
        let mut params = client(&[dns("d.lab.example")]);
        params.not_after = date_time_ymd(end, 1, 1);
        let leaf = params.signed_by(&KeyPair::generate().expect("a key"), &between).expect("signed");
        let chain = Chain::new([leaf.der().as_ref(), &by_old, &by_new]).expect("a chain");
        let principal = trusting(before).authenticate_certificate(&chain, NOW).expect("recognised");
        trusting(after).is_still_good_by(&principal, Some(&chain), NOW)
    };
    for (before, after) in [
        ([&old, &old], [&old, &between]),
        ([&old, &between], [&old, &old]),
        ([&old, &between], [&between, &between]),
        ([&old, &old], [&new, &new]),
        ([&old, &new], [&new, &new]),
        ([&new, &between], [&new, &old]),
    ] {
        assert!(stays(2030, &before, &after));
        assert!(!stays(2030, &before, &[&other]));
    }
    for (before, after) in
        [(vec![&old], vec![&new, &old]), (vec![&new, &old], vec![&new]), (vec![&new, &old], vec![&old])]
    {
        assert!(stays(2033, &before, &after));
    }
    // Two connections, of which one has sent along what is good for less long: it stays for as long as that.
    let mut params = client(&[dns("d.lab.example")]);
    params.not_after = date_time_ymd(2033, 1, 1);
    let leaf = params.signed_by(&KeyPair::generate().expect("a key"), &between).expect("signed");
    let chain = |other: &[u8]| Chain::new([leaf.der().as_ref(), other]).expect("a chain");
    let (shorter, longer) = (chain(&by_old), chain(&by_new));
    let before = trusting(&[&new]).authenticate_certificate(&longer, NOW).expect("recognised");
    let after = trusting(&[&old, &new]);
    assert!(after.authenticate_certificate(&shorter, NOW).is_ok());
    let accepts = |chain: &Chain, now: u64| after.accepts(&before, Some(chain), now);
    let in_2031 = NOW + 1642 * 86_400;
    assert!(accepts(&shorter, NOW) && !accepts(&shorter, in_2031));
    assert!(accepts(&longer, in_2031) && accepts(&shorter, in_2031), "whoever vouches does so for both");
    assert!(!accepts(&longer, in_2031 + 365 * 86_400));
    // One that was not there yet when it was recognised, and is now.
    let mut young = of_authority("old");
    young.not_before = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(NOW + 5);
    let young = young.self_signed(old.key()).expect("signed").pem();
    let chain = sign(&client(&[dns("d.lab.example")]), &old);
    let principal = recognise(&old, usual(), &chain).expect("recognised");
    let access = Access::new(settings(CertificateTrust::new(&young).expect("trust"), usual()));
    let at = |now: u64| access.is_still_good_by(&principal, Some(&chain), now);
    assert!(!at(NOW) && at(NOW + 10));
    assert!(access.authenticate_certificate(&chain, NOW + 10).is_ok(), "nobody remembers that it was not good");
    // That the clock was set back is not that somebody took it back.
    let shown = chain.clone().shown_at(NOW);
    let access = Access::new(Settings { required: Some(trust(&old)), ..settings(trust(&old), usual()) });
    for (chain, is_good) in [(&chain, false), (&shown, true)] {
        assert_eq!(access.accepts(&principal, Some(chain), 0), is_good);
        assert_eq!((access.vouches_for(chain, 0), access.vouched_for(chain, 0)), (is_good, is_good));
        assert_eq!(access.authenticate_certificate(chain, 0).is_ok(), is_good);
    }
    assert!(!at(u64::MAX) && !access.accepts(&principal, Some(&shown), u64::MAX - 10));
}

/// T20: however long the one that counts first is good.
#[test]
fn t20_certificate_stays_good_when_another_authority_vouches_for_it_too() {
    let key = || KeyPair::generate().expect("a key");
    let long = CertifiedIssuer::self_signed(of_some_names(of_authority("root")), key()).expect("an authority");
    let mut short = of_authority("root");
    short.not_after = date_time_ymd(2028, 1, 1);
    let short = short.self_signed(long.key()).expect("signed").pem();
    let chain = sign(&client(&[dns("d.lab.example")]), &long);
    let before = recognise(&long, usual(), &chain).expect("recognised");
    let both = CertificateTrust::new(&(long.pem() + &short)).expect("trust");
    let access = Access::new(settings(both, usual()));
    assert!(access.authenticate_certificate(&chain, NOW).expect("recognised").expires_at() < before.expires_at());
    for years in [0, 2] {
        assert!(access.accepts(&before, Some(&chain), NOW + years * 365 * 86_400), "{years}");
    }
}

/// A name becomes part of a pattern of device ids.
#[test]
fn name_with_a_star_in_it_stands_for_nobody() {
    let issuer = authority("ours");
    for name in ["*.lab.example", "**.lab.example", "a*.lab.example"] {
        let chain = sign(&client(&[dns(name)]), &issuer);
        assert_eq!(recognise(&issuer, usual(), &chain).err(), Some(Denied::CertificateName), "{name}");
    }
    let mut params = client(&[]);
    params.distinguished_name.push(DnType::CommonName, "a\nb");
    let any = vec![rule(NameKind::CommonName, "*", Role::Device, &["{name}"])];
    assert_eq!(recognise(&issuer, any, &sign(&params, &issuer)).err(), Some(Denied::CertificateName));
}

#[test]
fn who_is_not_vouched_for_is_not_recognised() {
    let (issuer, other) = (authority("ours"), authority("ours"));
    let good = || client(&[dns("d.lab.example")]);
    assert!(recognise(&issuer, usual(), &sign(&good(), &issuer)).is_ok());
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        sign(&params, &issuer)
    };
    for (what, chain) in [
        ("another authority of the same name", sign(&good(), &other)),
        ("for servers", changed(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("expired", changed(|it| it.not_after = date_time_ymd(2026, 1, 1))),
        ("not valid yet", changed(|it| it.not_before = date_time_ymd(2028, 1, 1))),
        ("an authority", changed(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("nonsense", Chain::new([b"nonsense".as_slice()]).expect("a chain")),
    ] {
        assert_eq!(recognise(&issuer, usual(), &chain).err(), Some(Denied::Certificate), "{what}");
    }
    let access = Access::new(Settings::default());
    assert_eq!(access.authenticate_certificate(&sign(&good(), &issuer), NOW).err(), Some(Denied::Certificate));
}

/// T40: the credential ends with the first certificate of its chain.
#[test]
fn t40_chain_is_over_with_the_first_of_its_certificates() {
    let root = authority("root");
    let mut between = of_authority("between");
    between.not_before = date_time_ymd(2026, 1, 1);
    between.not_after = date_time_ymd(2027, 6, 1);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().expect("a key"), &root).expect("signed");
    let mut params = client(&[dns("d.lab.example")]);
    params.not_after = date_time_ymd(2040, 1, 1);
    let leaf = params.signed_by(&KeyPair::generate().expect("a key"), &between).expect("signed");
    let alone = Chain::new([leaf.der().as_ref()]).expect("a chain");
    assert_eq!(recognise(&root, usual(), &alone).err(), Some(Denied::Certificate), "half a chain");
    let chain = Chain::new([leaf.der().as_ref(), between.der().as_ref()]).expect("a chain");
    let access = Access::new(settings(trust(&root), usual()));
    let principal = access.authenticate_certificate(&chain, NOW).expect("recognised");
    let end = 1_811_808_000;
    assert_eq!(principal.expires_at(), Some(end));
    assert!(!principal.is_over(end) && principal.is_over(end + 1));
    assert!(access.authenticate_certificate(&chain, end).is_ok());
    assert_eq!(access.authenticate_certificate(&chain, end + 1).err(), Some(Denied::Certificate));
}

/// T20: who vouched must still do so, and the rules must say the same.
#[test]
fn t20_certificate_is_still_good_while_it_is_vouched_for_and_means_the_same() {
    let (issuer, other) = (authority("ours"), authority("theirs"));
    let chain = sign(&client(&[dns("d.lab.example")]), &issuer);
    let principal = recognise(&issuer, usual(), &chain).expect("recognised");
    let is_still_good = |settings| Access::new(settings).is_still_good_by(&principal, Some(&chain), NOW);
    assert!(is_still_good(settings(trust(&issuer), usual())));
    let both = CertificateTrust::new(&(other.pem() + &issuer.pem())).expect("trust");
    assert!(is_still_good(settings(both, usual())));
    assert!(!is_still_good(settings(trust(&other), usual())));
    assert!(!is_still_good(Settings::default()));
    for rules in [
        vec![],
        vec![rule(NameKind::Dns, "*.lab.example", Role::Client, &["{name}"])],
        vec![rule(NameKind::Dns, "*.lab.example", Role::Device, &["other"])],
    ] {
        assert!(!is_still_good(settings(trust(&issuer), rules.clone())), "{rules:?}");
    }
    for (line, good) in [("cert:dns:d.lab.example", false), ("cert:dns:e.lab.example\ntoken:d", true)] {
        let revoked = Revoked::parse(line).expect("a good file");
        let access = Access::new(Settings { revoked, ..settings(trust(&issuer), usual()) });
        assert_eq!(access.is_still_good_by(&principal, Some(&chain), NOW), good, "{line}");
        assert_eq!(access.authenticate_certificate(&chain, NOW).is_ok(), good, "{line}");
    }
}

fn list(issuer: &Issuer, revoked: &[u64]) -> String {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2028, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("signed").pem().expect("PEM")
}

/// T20: a list of what is revoked counts for those who are there, too.
#[test]
fn t20_certificate_on_a_list_is_not_good() {
    let (issuer, other) = (authority("ours"), authority("theirs"));
    let numbered = |serial: u64| {
        let mut params = client(&[dns("d.lab.example")]);
        params.serial_number = Some(SerialNumber::from(serial));
        sign(&params, &issuer)
    };
    let with = |lists: &str| settings(trust(&issuer).without_revoked(lists).expect("lists"), usual());
    let (bad, good) = (numbered(7), numbered(8));
    let principal = recognise(&issuer, usual(), &bad).expect("recognised");
    let access = Access::new(with(&list(&issuer, &[7])));
    assert_eq!(access.authenticate_certificate(&bad, NOW).err(), Some(Denied::Certificate));
    assert!(access.authenticate_certificate(&good, NOW).is_ok());
    assert!(!access.is_still_good_by(&principal, Some(&bad), NOW));
    assert!(Access::new(with(&list(&issuer, &[]))).is_still_good_by(&principal, Some(&bad), NOW));
    let access = Access::new(with(&list(&other, &[])));
    assert_eq!(
        access.authenticate_certificate(&good, NOW).err(),
        Some(Denied::Certificate),
        "no list of its authority"
    );
}

/// Only the first of them would count.
#[test]
fn t20_authority_has_one_list() {
    let (issuer, other, namesake) = (authority("ours"), authority("theirs"), authority("ours"));
    let lists = |of: &[&Issuer]| of.iter().map(|issuer| list(issuer, &[7])).collect::<String>();
    let with = |lists: &str| trust(&issuer).without_revoked(lists).err();
    assert_eq!(with(&lists(&[&issuer, &other])), None);
    assert_eq!(with(&lists(&[&issuer, &other, &issuer])), Some(TrustFault::SecondList(3)));
    assert_eq!(with(&lists(&[&namesake, &issuer])), Some(TrustFault::SecondList(2)), "there is no telling whose");
}

/// Who only showed a certificate that is its own vouches for nobody, and an authority does so for its time.
#[test]
fn only_an_authority_vouches_and_only_in_its_time() {
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = of_authority("ours");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2028, 1, 1);
        change(&mut params);
        params
    };
    let sign_nothing = |it: &mut CertificateParams| it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let none =
        [changed(|it| it.is_ca = IsCa::ExplicitNoCa), changed(|it| it.is_ca = IsCa::NoCa), changed(sign_nothing)];
    let root = authority("root");
    for params in none {
        let key = KeyPair::generate().expect("a key");
        let alone = params.self_signed(&key).expect("signed").pem();
        assert_eq!(CertificateTrust::new(&(root.pem() + &alone)).err(), Some(TrustFault::NoAuthority(2)));
        let between = CertifiedIssuer::signed_by(params, key, &root).expect("signed");
        let leaf = client(&[dns("d.lab.example")]).signed_by(&KeyPair::generate().expect("a key"), &between);
        let chain = [leaf.expect("signed").der().to_vec(), between.der().to_vec()];
        let chain = Chain::new(chain.iter().map(Vec::as_slice)).expect("a chain");
        assert_eq!(recognise(&root, usual(), &chain).err(), Some(Denied::Certificate));
    }
    for (change, expected) in [
        ((|_| ()) as fn(&mut CertificateParams), Ok(Some(1_830_297_600))),
        (|it| it.key_usages.clear(), Ok(Some(1_830_297_600))),
        (|it| it.not_after = date_time_ymd(2026, 6, 1), Err(Denied::Certificate)),
        (|it| it.not_before = date_time_ymd(2027, 6, 1), Err(Denied::Certificate)),
    ] {
        let issuer = CertifiedIssuer::self_signed(changed(change), KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("an authority");
        let found = recognise(&issuer, usual(), &sign(&client(&[dns("d.lab.example")]), &issuer));
        assert_eq!(found.map(|principal| principal.expires_at()), expected);
    }
}

#[test]
fn faults_of_rules_are_all_found() {
    let issuer = authority("ours");
    let rules = vec![
        CertificateRule { roles: Roles::NONE, ..rule(NameKind::Dns, "a", Role::Client, &["x"]) },
        CertificateRule { devices: None, ..rule(NameKind::Dns, "a", Role::Client, &[]) },
        rule(NameKind::Dns, "a", Role::Client, &["{*}"]),
        rule(NameKind::Dns, "*a*", Role::Client, &["{*}"]),
        rule(NameKind::Dns, "*", Role::Client, &[""]),
        CertificateRule { devices: None, ..rule(NameKind::Dns, "*", Role::Observer, &[]) },
    ];
    let faults = Certificates::new(trust(&issuer), rules).expect_err("faults");
    let numbers: Vec<usize> = faults.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!((faults[0].1, faults[1].1, faults[3].1), (RuleFault::NoRole, RuleFault::NoDevices, RuleFault::NoStar));
    assert_eq!(CertificateTrust::new("nothing").err(), Some(TrustFault::NoCertificate));
    assert_eq!(trust(&issuer).without_revoked("nothing").err(), Some(TrustFault::NoList));
    let nonsense = "-----BEGIN CERTIFICATE-----\naGFsbG8=\n-----END CERTIFICATE-----\n";
    assert_eq!(CertificateTrust::new(nonsense).err(), Some(TrustFault::Certificate(1)));
}
