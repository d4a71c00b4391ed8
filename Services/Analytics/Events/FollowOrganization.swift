import Contracts
import Messaging
import Postgres

/// What analytics must know of an organization: its plan, for retention, and whether it is to be erased. Events of one organization come
/// in their order, and an older one that is replayed changes nothing.
struct FollowNewOrganization: EventHandler {
    func handle(_ event: OrganizationCreated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try OrganizationStore(tx: tx).setPlan(event.plan, at: envelope.time)
    }
}

struct FollowPlan: EventHandler {
    func handle(_ event: PlanChanged, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try OrganizationStore(tx: tx).setPlan(event.plan, at: envelope.time)
    }
}

/// Its rows go when the time for second thoughts is over: `Upkeep`.
struct FollowDeletion: EventHandler {
    func handle(_ event: OrganizationDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try OrganizationStore(tx: tx).setErasure(after: event.erasedAfter)
    }
}

struct FollowReactivation: EventHandler {
    func handle(_ event: OrganizationReactivated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try OrganizationStore(tx: tx).setErasure(after: nil)
    }
}

/// A person who has left the organization for good is taken out of its rows: they go on being counted, and name nobody.
struct ForgetPerson: EventHandler {
    func handle(_ event: UserDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        _ = try PersonStore(tx: tx).unname(event.userID, .left, at: envelope.time)
    }
}

/// Who left and comes back under the same account is named again from then on.
struct WelcomePerson: EventHandler {
    func handle(_ event: UserCreated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try PersonStore(tx: tx).welcome(event.userID, at: envelope.time)
    }
}

struct WelcomeMember: EventHandler {
    func handle(_ event: MemberAdded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try PersonStore(tx: tx).welcome(event.userID, at: envelope.time)
    }
}
