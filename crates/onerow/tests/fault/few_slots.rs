//! More processes than the server has connections.

use onerow::prelude::async_trait;

use crate::{
    crowd::Processes,
    diary::Diary,
    place::Server,
    runner::Runner,
    scenario::{Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of = |connections, size| {
        Box::new(FewSlots { connections, size, server: None }) as Box<dyn Scenario>
    };
    vec![of("23", 40), of("100", 60)]
}

struct FewSlots {
    /// All connections; three of them are reserved for superusers.
    connections: &'static str,
    size: usize,
    /// The first round starts it.
    server: Option<Server>,
}

const SUBJECT: Subject = Subject {
    count: 10,
    diary: Some(Diary { at: 5, lines: 10, pause: 100, transactional: false }),
    ..Subject::PLAIN
};

#[async_trait]
impl Scenario for FewSlots {
    fn name(&self) -> &'static str {
        match self.size {
            40 => "forty_processes_on_twenty_connections",
            _ => "sixty_processes_on_ninety_seven_connections",
        }
    }

    fn share(&self) -> usize {
        5
    }

    fn is_slow(&self) -> bool {
        self.size > 40
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let server = match self.server.take() {
            Some(server) => server,
            None => Server::start(&[("max_connections", self.connections)]).await,
        };
        let place = server.place().await;
        let owner = server.for_owner(&place);
        let runners = (0..self.size).map(|_| Runner::start(&owner, SUBJECT)).collect();
        let mut crowd = Processes::new(runners);
        crowd.all_end().await;
        state::check_finished(&place, SUBJECT).await;
        crowd.assert_each_once(-1, SUBJECT, false);
        round.count(true, SUBJECT.last());
        self.server = Some(server);
    }
}
