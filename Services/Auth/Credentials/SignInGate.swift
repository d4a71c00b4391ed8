import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import Postgres
import ServiceKit

/// Where every way of signing in ends, once the person has shown a first factor: it judges the risk, decides whether a second
/// factor is needed, and opens the session.
struct SignInGate: Sendable {
    let database: Database
    let sessions: Sessions
    let sealing: Sealing
    let factors: SecondFactors
    /// The score from which a device that was trusted is trusted no longer.
    let riskThreshold: Double
    /// Whether the platform is reached over TLS: then cookies go nowhere else.
    let isSecure: Bool
    let logger: Logger

    /// - Parameter methods: what was shown (RFC 8176), such as `pwd`, `hwk` or `fed`.
    func admit(_ account: Account, _ claims: PersonClaims, methods: [String], _ request: PublicRequest) async throws -> SignInAnswer {
        let visit = try await look(account, request)
        let score = visit.risk.score
        if let challenge = try await factors.challenge(
            account, claims, methods: methods, isStrange: score >= riskThreshold, risk: score, request)
        {
            return .secondFactor(challenge)
        }
        return .signedIn(try await open(account, claims, methods, visit, request))
    }

    /// Every factor that is needed has been shown. The session is as old as the first of them.
    func finish(
        _ account: Account, _ claims: PersonClaims, _ origin: SessionOrigin, methods: [String], _ request: PublicRequest
    ) async throws -> SignedIn {
        try await open(account, claims, methods, try await look(account, request), request, origin: origin)
    }

    /// The first session of a registration; announces it where nobody has yet. Who was invited by an organization that demands a
    /// second factor sets one up before there is a session.
    func finishRegistration(_ account: Account, _ claims: PersonClaims, _ request: PublicRequest) async throws -> SignInAnswer {
        if claims.requiresSecondFactor, let challenge = try await factors.challenge(account, claims, methods: ["pwd"], request) {
            let caller = Caller(.person(account.id), tenant: claims.organization.id)
            try await database.transaction(as: caller) { tx in try Sessions.announce(claims, in: tx, request) }
            return .secondFactor(challenge)
        }
        return .signedIn(
            try await open(account, claims, ["pwd"], try await look(account, request), request, announcingRegistration: true))
    }

    // MARK: - What is known of the place

    /// Where somebody signs in from, and how that looks beside where they did before.
    private struct Visit {
        let device: DeviceName
        let network: NetworkRange
        let mark: DeviceMark?
        let counters: [FailureCounter]
        let hasFailed: Bool
        let risk: RiskAssessment
    }

    private func look(_ account: Account, _ request: PublicRequest) async throws -> Visit {
        let place = SignInPlace(account.email, request)
        let since = request.now.addingTimeInterval(-RiskAssessment.paceWindow)
        async let known = database.query(SignInPlaceStore.of(account.email), as: AccountStore.caller)
        async let failed = database.query(SignInFailureStore.find(place.counters), as: AccountStore.caller)
        async let used = database.platform(PlatformWork("addresses of a person's sessions")) { tx in
            try PlatformSessionStore(tx: tx).addresses(of: account.id, since: since)
        }
        let (places, counts, addresses) = (try await known, try await failed, try await used)
        let failures = counts.filter { request.now.timeIntervalSince($0.lastFailedAt) < LockOut.memory }
        let risk = RiskAssessment(
            .init(
                isFirst: places.isEmpty, isKnownDevice: place.isKnownDevice(among: places),
                isKnownNetwork: place.isKnownNetwork(among: places),
                networksLately: Set(addresses.map { NetworkRange($0) } + [place.network]).count,
                recentFailures: failures.first { $0.digest == SignInFailureStore.digest(.address(account.email)) }?.failures ?? 0))
        // A mark that nobody has signed in with yet might be a stranger's gift: a new one is made instead.
        let mark = place.isKnownMark(among: places) ? place.mark : DeviceMark.isKept(by: request.userAgent) ? .make() : nil
        return Visit(
            device: place.device, network: place.network, mark: mark, counters: place.forgottenOnSuccess(among: places),
            hasFailed: !counts.isEmpty, risk: risk)
    }

    // MARK: - Opening

    private func open(
        _ account: Account, _ claims: PersonClaims, _ methods: [String], _ visit: Visit, _ request: PublicRequest,
        origin: SessionOrigin? = nil, announcingRegistration: Bool = false
    ) async throws -> SignedIn {
        let sealing = sealing
        var signedIn = try await sessions.open(
            for: claims, methods: methods, from: request, risk: visit.risk, origin: origin,
            announcingRegistration: announcingRegistration
        ) { tx, session in
            guard visit.risk.isNewDevice else { return }
            try Letters(tx, sealing).send(
                Letter(
                    channel: .email, to: account.email.rawValue, template: "new-device", tenant: tx.caller.tenant,
                    data: [
                        "when": Timestamp.text(session.createdAt), "address": session.address ?? "an unknown address",
                        "agent": visit.device.description,
                    ]))
        }
        Counter(label: "trionex_auth_sign_ins_total", dimensions: [("result", "succeeded")]).increment()
        Counter(label: "trionex_auth_sign_in_risk_total", dimensions: [("level", visit.risk.level)]).increment()
        request.note("risk", String(visit.risk.score))
        await note(account, visit, request)
        signedIn.deviceCookie = visit.mark?.cookie(isSecure: isSecure)
        return signedIn
    }

    /// The person is signed in already: what goes wrong here is logged and does not undo that.
    private func note(_ account: Account, _ visit: Visit, _ request: PublicRequest) async {
        do {
            try await database.transaction(as: AccountStore.caller(account.id)) { tx in
                try tx.execute(AccountStore.noteSignIn(account.id, at: request.now))
                let places = SignInPlaceStore(tx: tx)
                try places.note(account.id, visit.device, visit.network, visit.mark)
                try places.forgetOldest(account.id)
                if visit.hasFailed { try tx.execute(SignInFailureStore.forget(visit.counters)) }
            }
        } catch {
            logger.warning("a sign-in could not be noted", metadata: ["userId": "person:\(account.id)", "reason": "\(error)"])
        }
    }
}

extension SignInPlace {
    init(_ email: EmailAddress, _ request: PublicRequest) {
        self.init(
            email: email, device: DeviceName(request.userAgent), network: NetworkRange(request.clientAddress),
            mark: DeviceMark(cookies: request.headers[.cookie]))
    }
}

/// What signing in answers: tokens, or what is still to be shown.
enum SignInAnswer: EndpointResult {
    case signedIn(SignedIn)
    case secondFactor(SecondFactorChallenge)

    /// The members of both answers, those of one of them left out.
    private struct Body: Decodable {
        let user: PersonView?
        let organization: OrganizationView?
        let accessToken: String?
        let refreshToken: String?
        let tokenType: String?
        let expiresIn: Int
        let mfaRequired: Bool?
        let mfaToken: String?
        let methods: [String]?
        let mustEnrol: Bool?
    }

    static var status: HTTPResponse.Status { .ok }
    static var bodySchema: NamedSchema? { NamedSchema(name: "SignInAnswer", schema: SchemaProbe.named(Body.self).schema) }

    func response(to request: PublicRequest) throws -> Response {
        switch self {
        case .signedIn(let signedIn): try signedIn.response(to: request)
        case .secondFactor(let challenge): try challenge.response(to: request)
        }
    }
}
