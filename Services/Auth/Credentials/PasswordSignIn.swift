import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// The first factor that most people have. Passwords are checked here alone: at sign-in, on the pages of the OpenID provider, and
/// before a password is changed.
struct PasswordSignIn: Sendable {
    let database: Database
    let passwords: PasswordHashing
    let lockOut: LockOut
    /// Where an organization lets its people in by its own issuer alone.
    let routing: SSORouting
    let sealing: Sealing
    let logger: Logger

    /// The account of the address and the password.
    ///
    /// A wrong address and a wrong password answer alike, in words and in time, and are locked out alike (`LockOut`). Throws
    /// `LockedOut`, `AccountFailure.wrongCredentials`, and, to whoever has the right password, `AccountFailure.registrationPending`;
    /// `SSOFailure.required` where the domain of the address, known or unknown, signs in elsewhere.
    func verify(_ email: EmailAddress, _ password: PresentedSecret, _ request: PublicRequest) async throws -> Account {
        try await routing.refuseOwnWays(for: email)
        let place = SignInPlace(email, request)
        async let found = database.first(AccountStore.find(email), as: AccountStore.caller)
        async let counted = database.query(SignInFailureStore.find(place.counters), as: AccountStore.caller)
        async let visited = database.query(SignInPlaceStore.of(email), as: AccountStore.caller)
        let (account, counts, places) = (try await found, try await counted, try await visited)
        let locked = Self.locks(counts, at: request.now)
        let allowance = place.allowance(among: places)
        if let until = locked[SignInFailureStore.digest(allowance)] {
            Self.count("locked")
            throw LockedOut(until: until, now: request.now)
        }
        let isKnown = place.isKnownMark(among: places) || place.isKnownNetwork(among: places)
        let wasClosed = !isKnown && [.address(email), .network(place.network)].contains { locked[SignInFailureStore.digest($0)] != nil }
        let isRight = try await passwords.verify(password, against: account?.passwordHash)
        // Many may have come at once, before any had failed, and have waited for their turn to be hashed: the locks are those of now.
        let isClosed = try await isLockedNow(place, allowance, isKnown: isKnown, request) || wasClosed
        guard isRight, !isClosed, let account else {
            if isRight && isClosed { Self.count("closed") }
            try await failed(account, place, allowance, isClosed: isRight && isClosed, request)
            throw AccountFailure.wrongCredentials
        }
        guard account.status == .active else { throw AccountFailure.registrationPending }
        await upgrade(account, password)
        return account
    }

    /// For everybody, whether the password was right or not: it takes the same time.
    private func isLockedNow(
        _ place: SignInPlace, _ allowance: FailureCounter, isKnown: Bool, _ request: PublicRequest
    ) async throws -> Bool {
        let counts = try await database.query(SignInFailureStore.find(place.counters), as: AccountStore.caller)
        let locked = Self.locks(counts, at: request.now)
        let closing: [FailureCounter] = isKnown ? [allowance] : [allowance, .address(place.email), .network(place.network)]
        return closing.contains { locked[SignInFailureStore.digest($0)] != nil }
    }

    private static func locks(_ counts: [SignInFailureStore.Count], at now: Date) -> [Data: Date] {
        counts.reduce(into: [:]) { locks, count in
            if let until = count.lockedUntil, until > now { locks[count.digest] = until }
        }
    }

    /// The same statements whether an account has the address or not, so that the time they take tells as little as the answer.
    private func failed(
        _ account: Account?, _ place: SignInPlace, _ allowance: FailureCounter, isClosed: Bool, _ request: PublicRequest
    ) async throws {
        Self.count("failed")
        let (policy, sealing) = (lockOut, sealing)
        try await database.transaction(as: AccountStore.caller) { tx in
            let failures = SignInFailureStore(tx: tx)
            var until: Date?, isFirstLock = false
            for counter in [allowance, .address(place.email), .network(place.network)] {
                let count = try failures.add(counter)
                let lockedUntil = policy.delay(after: count, of: counter).map { tx.now.addingTimeInterval($0) }
                try failures.lock(counter, until: lockedUntil)
                // A range of addresses is shut: nobody's account is.
                if case .network = counter { continue }
                until = [until, lockedUntil].compactMap { $0 }.max()
                isFirstLock = isFirstLock || count == policy.limit(of: counter)
            }
            if isFirstLock { try Self.warn(account, until, Letters(tx, sealing)) }
            var events: [any Event] = [
                AuditEntryRecorded(
                    action: "auth.session.open", resourceType: "account", resourceID: account?.id.description,
                    actor: tx.caller.principalText, outcome: "refused", riskLevel: until == nil ? "medium" : "high",
                    address: request.clientAddress, userAgent: request.userAgent,
                    changed: isClosed ? ["reason": "closed-to-unknown-places"] : [:], requestID: request.requestID)
            ]
            if let account {
                events.append(UserLoginFailed(userID: account.id, address: request.clientAddress, userAgent: request.userAgent))
                if let until { events.append(UserLocked(userID: account.id, lockedUntil: until)) }
            }
            try Outbox(tx).append(events)
        }
    }

    /// Once for each row of failures; nobody is told where nobody has the address.
    private static func warn(_ account: Account?, _ until: Date?, _ letters: Letters) throws {
        guard let account, account.status == .active, let until else { return try letters.sendNothing() }
        try letters.send(
            Letter(
                channel: .email, to: account.email.rawValue, template: "account-locked", tenant: nil, data: ["until": Timestamp.text(until)]
            ))
    }

    /// A hash made with other settings, or elsewhere, gives way to one of today's. What goes wrong here undoes no sign-in.
    private func upgrade(_ account: Account, _ password: PresentedSecret) async {
        guard let old = account.passwordHash, passwords.isOutdated(old) else { return }
        do {
            let hash = try await passwords.hash(password.passwordBytes)
            try await database.execute(AccountStore.replaceHash(account.id, old, with: hash), as: AccountStore.caller)
        } catch {
            logger.warning("a password hash was not renewed", metadata: ["userId": "person:\(account.id)", "reason": "\(error)"])
        }
    }

    private static func count(_ result: String) {
        Counter(label: "trionex_auth_sign_ins_total", dimensions: [("result", result)]).increment()
    }
}
