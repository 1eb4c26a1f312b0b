//! What belongs to a principal: its prefix, and how much it may have.

use cuttlebone_client::raw::ConnectError;

use crate::access::{access, client, device, expect_end, get, known, open, register, server};
use crate::support::{PATIENCE, Running};

#[tokio::test]
async fn each_host_has_its_own_cvd_1_where_its_token_has_a_prefix() {
    let host = |number, lab: &str| known(number, &format!("name={lab} role=device devices={lab}/* prefix={lab}/"));
    let (one, two, viewer) = (host(1, "lab7"), host(2, "lab8"), known(3, "name=v role=client devices=*"));
    // Its prefix leads to no device that it may speak for.
    let astray = known(4, "name=astray role=device devices=cvd-1 prefix=x/");
    let server = server(&[&one, &two, &viewer, &astray]);
    let _devices = [device(&server, &one, "cvd-1").await, device(&server, &two, "cvd-1").await];
    let list = get(&server, "/devices", &viewer).await.text();
    assert!(list.contains(r#""device_id":"lab7/cvd-1""#) && list.contains(r#""device_id":"lab8/cvd-1""#), "{list}");
    let _viewing = client(&server, &viewer, "lab7/cvd-1").await;
    // To ask for the whole id is to ask for another.
    let _nested = device(&server, &one, "lab7/cvd-1").await;
    assert!(get(&server, "/devices", &viewer).await.text().contains("lab7/lab7/cvd-1"));
    let mut refused = open(&server, "/register_device", &astray).await.expect("upgraded");
    refused.send_text(register("cvd-1")).await.expect("sent");
    let error = r#"{"error":"Device id already taken: cvd-1","cuttlebone_code":"device_id_taken"}"#;
    expect_end(&mut refused, error, 1008).await;
}

/// A host with more devices than its address may have connections.
#[tokio::test]
async fn devices_and_clients_of_a_principal_are_not_counted_by_address() {
    let host = known(1, "name=host role=device,client devices=*");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&host]);
        settings.connections.per_address = Some(4);
        settings.connections.pending_per_address = Some(4);
    });
    let mut all = Vec::new();
    for number in 0..40 {
        all.push(device(&server, &host, &format!("cvd-{number}")).await);
    }
    for _ in 0..10 {
        all.push(client(&server, &host, "cvd-7").await);
    }
    // Whoever says nothing of himself is counted as before.
    let mut anybody = Vec::new();
    for _ in 0..4 {
        anybody.push(server.websocket("/register_device").await);
    }
    assert_eq!(server.get("/livez").await.status, 429);
    // What broke keeps its grace by principal, too.
    drop((anybody, all));
    server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 0).await;
    assert_eq!(server.metric("cuttlebone_devices").await, 40);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="away_full"}"#).await, 0);
}

#[tokio::test]
async fn connections_of_a_principal_are_bounded_and_a_token_may_say_how_many() {
    let (few, many) =
        (known(1, "name=few role=client devices=* max_clients=2"), known(2, "name=many role=client devices=*"));
    let camera = known(3, "name=camera role=device devices=*");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&few, &many, &camera]);
        settings.quotas.clients = 3;
        settings.quotas.devices = 1;
    });
    let mut kept = Vec::new();
    for (who, path, most) in
        [(&few, "/connect_client", 2), (&many, "/connect_client", 3), (&camera, "/register_device", 1)]
    {
        for _ in 0..most {
            kept.push(open(&server, path, who).await.expect("upgraded"));
        }
        let Err(ConnectError::Upgrade(said)) = open(&server, path, who).await else { panic!("one too many") };
        assert!(said.contains("429"), "{said}");
    }
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="principal_full"}"#).await, 3);
    kept.clear();
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
    open(&server, "/connect_client", &few).await.expect("upgraded");
}

/// T33: it is the principal that is slowed, from wherever it comes.
#[tokio::test]
async fn t33_principal_that_registers_again_and_again_is_told_to_stop() {
    let (churner, other) = (known(1, "name=a role=device devices=*"), known(2, "name=b role=device devices=*"));
    let server = server(&[&churner, &other]);
    for _ in 0..20 {
        device(&server, &churner, "d").await.close(1000, "", PATIENCE).await.expect("closed");
    }
    let mut refused = open(&server, "/register_device", &churner).await.expect("upgraded");
    refused.send_text(register("d")).await.expect("sent");
    expect_end(&mut refused, r#"{"error":"Rate limit exceeded","cuttlebone_code":"rate_limited"}"#, 4029).await;
    server.until_metric("cuttlebone_devices", |devices| devices == 0).await;
    let _others = [device(&server, &churner, "e").await, device(&server, &other, "d").await];
}
