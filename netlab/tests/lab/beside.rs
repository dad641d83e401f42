//! One host with several paths, each of which can be cut for itself.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use netlab::{Direction, Path, or_skip};

/// Far more than the round trip, far less than until a SYN is sent again.
const SHORT: Duration = Duration::from_millis(400);

#[test]
fn each_path_of_a_host_has_its_own_fate() {
    let builder = || Path::builder().round_trip(Duration::from_millis(4));
    let Some(first) = or_skip(builder().start()) else {
        return;
    };
    let second = builder().start_beside(&first).unwrap();
    let third = builder().start_beside(&second).unwrap();
    let error = builder().start_beside(&third).unwrap_err();
    assert!(!error.is_lack(), "{error}");
    let paths = [first, second, third];
    let listen = |path: &Path, to: IpAddr| {
        let listener = path.server().run(|| TcpListener::bind((to, 0)));
        listener.unwrap().unwrap()
    };
    let listeners: Vec<_> = (paths.iter())
        .flat_map(|path| path.server().addresses().map(|to| listen(path, to)))
        .collect();
    let addresses: Vec<_> = listeners
        .iter()
        .map(|one| one.local_addr().unwrap())
        .collect();
    let reached = || -> Vec<bool> {
        let connect = |to: &SocketAddr| TcpStream::connect_timeout(to, SHORT).is_ok();
        // All are the same host.
        let client = paths[0].client();
        let all = || addresses.iter().map(connect).collect();
        client.run(all).unwrap()
    };
    assert_eq!(reached(), [true; 6]);
    let begun = Instant::now();
    paths[1].cut(Direction::ToServer);
    assert_eq!(reached(), [true, true, false, false, true, true]);
    assert!(begun.elapsed() >= 2 * SHORT);
    paths[1].heal();
    assert_eq!(reached(), [true; 6]);
    for path in &paths {
        assert_eq!(path.overruns().unwrap(), 0);
        assert!(path.journal().counts(Direction::ToServer).left >= 4);
    }
}
