//! One who is there for every tenant.

use cuttlebone_client::raw::ConnectError;

use crate::access::{ask, device, get, known, open, server};
use crate::support::{Peer, expect_type};

#[tokio::test]
async fn operator_sees_the_devices_of_every_tenant_and_means_one_by_its_name() {
    let host = |number, tenant: &str| {
        known(
            number,
            &format!(
                "name=h{number} role=device,client devices=* {}",
                if tenant.is_empty() { String::new() } else { format!("tenant={tenant}") }
            ),
        )
    };
    let (one, two, none) = (host(1, "one"), host(2, "two"), host(3, ""));
    let (operator, admin) = (known(4, "name=op role=admin tenant=*"), known(5, "name=root role=admin tenant=one"));
    let server = server(&[&one, &two, &none, &operator, &admin]);
    let mut of_one = device(&server, &one, "cvd-1").await;
    let mut of_two = device(&server, &two, "cvd-1").await;
    let _of_none = device(&server, &none, "cvd-1").await;
    let mut watch = Peer::connect(server.addr).await;
    let request = |who: &str| {
        format!("GET /api/v1/devices/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {who}\r\n\r\n", server.addr)
    };
    watch.send(&request(&operator.token)).await;
    watch.until("event: snapshot\n").await;
    let snapshot = watch.until("\n\n").await;
    assert_eq!(snapshot.matches(r#""device_id":"cvd-1""#).count(), 3);
    for tenant in ["one", "two"] {
        assert!(snapshot.contains(&format!(r#""cuttlebone_tenant":"{tenant}""#)), "{snapshot}");
    }
    assert_eq!(snapshot.matches("cuttlebone_tenant").count(), 2);
    assert_eq!(get(&server, "/devices?tenant=two", &operator).await.text().matches("cvd-1").count(), 1);
    assert_eq!(get(&server, "/devices?tenant=nobody", &operator).await.text(), "[]");
    // The wire protocol is as it is: the tenant stands in the address.
    for (path, device) in [("/connect_client?tenant=one", &mut of_one), ("/connect_client?tenant=two", &mut of_two)] {
        let mut client = open(&server, path, &operator).await.expect("upgraded");
        client.send_text(r#"{"message_type":"connect","device_id":"cvd-1"}"#).await.expect("sent");
        expect_type(&mut client, "config").await;
        expect_type(&mut client, "device_info").await;
        client.send_text(r#"{"message_type":"forward","payload":1}"#).await.expect("sent");
        expect_type(device, "client_msg").await;
    }
    let viewers = watch.until("\n\n").await;
    assert!(viewers.contains(r#""cuttlebone_tenant":"one"}"#), "{viewers}");
    let bearer = format!("authorization: Bearer {}\r\n", operator.token);
    let close = |tenant: &str| format!("/api/v1/devices/cvd-1/connection?tenant={tenant}");
    assert_eq!(ask(&server, "DELETE", &close("two"), &bearer).await.status, 204);
    assert_eq!(get(&server, "/devices", &two).await.text(), "[]");
    assert_eq!(get(&server, "/devices", &one).await.text().matches("cvd-1").count(), 1);
    assert_eq!(
        get(&server, "/api/v1/whoami", &operator).await.text(),
        r#"{"name":"op","tenant":"*","roles":["admin"]}"#
    );
}

#[tokio::test]
async fn whoever_is_of_one_tenant_stays_in_it() {
    let admin = known(1, "name=root role=admin tenant=one");
    let (common, watcher) = (known(2, "name=c role=admin"), known(3, "name=w role=observer tenant=*"));
    let server = server(&[&admin, &common, &watcher]);
    for (who, query, expected) in [
        (&admin, "tenant=one", 200),
        (&admin, "tenant=two", 403),
        (&admin, "tenant=*", 403),
        (&admin, "tenant=", 403),
        (&admin, "tenant=one&tenant=two", 403),
        (&common, "tenant=one", 403),
        (&watcher, "tenant=one", 200),
        (&watcher, "tenant=a%20b", 403),
        (&watcher, "tenant=one&tenant=one", 403),
    ] {
        assert_eq!(get(&server, &format!("/devices?{query}"), who).await.status, expected, "{query} {}", who.line);
    }
    assert!(matches!(open(&server, "/connect_client?tenant=two", &admin).await, Err(ConnectError::Forbidden)));
    assert!(matches!(open(&server, "/connect_client?tenant=one", &watcher).await, Err(ConnectError::Forbidden)));
    assert!(matches!(open(&server, "/register_device?tenant=one", &watcher).await, Err(ConnectError::Forbidden)));
    open(&server, "/connect_client?tenant=one", &admin).await.expect("its own");
}
