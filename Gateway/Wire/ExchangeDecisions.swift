import Contracts
import NIOCore
import ServiceKit

/// Who is it, may they, how often, and where to: every step lets the request on or refuses it.
extension Exchange {
    /// Called by the client's side once the head is whole.
    func begin(_ head: RequestHead) {
        loop.followPolicy()
        request = head
        framing = head.framing
        hasBodyEnded = framing == .none
        isHTTP10 = head.isHTTP10
        isHead = head.isMethod("HEAD")
        deadline = startedAt &+ door.times.deciding
        name(head)
        visitor = visitor(head)
        decideRoute(head)
    }

    /// A head that could not be read: the refusal is all there is.
    func refuse(unread failure: GatewayFailure) {
        hasBodyEnded = true
        requestID.make(loop.nextRandom(), loop.nextRandom(), milliseconds: WallClock.milliseconds())
        trace.begin(loop.nextRandom(), loop.nextRandom(), span: loop.nextRandom(), sampled: false)
        visitor = client?.connection.direct
        refuse(failure)
    }

    private func name(_ head: RequestHead) {
        if head.withValue(.requestID, requestID.accept) != true {
            requestID.make(loop.nextRandom(), loop.nextRandom(), milliseconds: WallClock.milliseconds())
        }
        let span = loop.nextRandom()
        if head.withValue(.traceparent, { trace.goOn($0, span: span) }) != true {
            trace.begin(loop.nextRandom(), loop.nextRandom(), span: span, sampled: true)
        }
    }

    /// The peer, or whom the proxies saw that we trust; what comes from others is theirs to invent.
    private func visitor(_ head: RequestHead) -> Visitor? {
        guard let facts = client?.connection, head.has(.forwardedFor) || head.has(.forwardedProto), policy.trusts(facts) else {
            return client?.connection.direct
        }
        let address = ClientAddress(
            peer: facts.peerText, forwardedFor: head.allText(.forwardedFor), forwardedProto: head.text(.forwardedProto),
            trusted: policy.trustedProxies)
        return loop.visitors.find(address.text, isEncrypted: address.isEncrypted || facts.isEncrypted)
    }

    // MARK: Where to

    private func decideRoute(_ head: RequestHead) {
        if policy.blocks(visitor, head) { return refuse(GatewayFailure.blocked) }
        if head.isAsterisk {
            return head.isMethod("OPTIONS") ? answerEmpty(204) : refuse(GatewayFailure.malformedPath)
        }
        if head.has(.preflightMethod), head.has(.origin), head.isMethod("OPTIONS") { return answerPreflight(head) }
        let match = head.bytes.withUnsafeReadableBytes { bytes in
            policy.table.match(
                method: UnsafeRawBufferPointer(rebasing: bytes[Int(head.method.start)..<Int(head.method.end)]),
                path: UnsafeRawBufferPointer(rebasing: bytes[Int(head.path.start)..<Int(head.path.end)]))
        }
        switch match {
        case .route(let route):
            self.route = route
            decideMaintenance(head, route)
        case .notFound, .methodNotAllowed, .options:
            if let page = head.with(head.path, door.pages.page) { return answerPage(page, head) }
            switch match {
            case .options(let allow): answerOptions(allow: allow)
            case .methodNotAllowed(let allow): refuse(GatewayFailure.methodNotAllowed(allow: allow))
            default: refuse(GatewayFailure.notRouted)
            }
        case .malformed: refuse(GatewayFailure.malformedPath)
        }
    }

    private func decideMaintenance(_ head: RequestHead, _ route: Route) {
        if policy.isClosed(route.service, for: visitor) {
            let closed = policy.file.maintenance
            return refuse(GatewayFailure.maintenance(retryAfter: closed.retryAfter, message: closed.message))
        }
        if case .length(let length) = framing, length > route.maximumBody {
            return refuse(GatewayFailure.bodyTooLarge(limit: route.maximumBody))
        }
        if head.bytes.readableBytes > route.maximumHeader { return refuse(GatewayFailure(.headTooLarge)) }
        decideIdentity(head, route)
    }

    // MARK: Who

    private func decideIdentity(_ head: RequestHead, _ route: Route) {
        switch Credential.read(head, route) {
        case .refused(let failure): badCredential(head, route, failure)
        case .clientPassword: decideLimits(head, route)
        case .none:
            if head.has(.cookie), !route.isPublic, decideCookie(head, route) { return }
            decideLimits(head, route)
        case .token(let place): decideToken(place, head, route, session: nil)
        case .apiKey(let place): exchangeKey(place, head, route)
        }
    }

    /// `session` is the cookie that the token was found in, and its place.
    private func decideToken(_ place: Place, _ head: RequestHead, _ route: Route, session: (CookieSession, Place)?) {
        switch loop.identities.find(head, place, on: client?.connection) {
        case .known(let identity): known(identity, head, route, session)
        case .refused(let failure): badCredential(head, route, failure)
        case .unknownKey:
            // The keys are fetched, and then it is looked at again.
            let token = head.text(place)
            ask(.auth, { [verifier = door.verifier] in await Result.of { try await verifier.verify(token) } }) { exchange, result in
                if case .failure(let error) = result {
                    return exchange.badCredential(head, route, error as? any Failure ?? GatewayFailure.unexpected)
                }
                guard case .known(let identity) = exchange.loop.identities.find(head, place, on: exchange.client?.connection) else {
                    return exchange.badCredential(head, route, AccessFailure.badToken)
                }
                exchange.known(identity, head, route, session)
            }
        }
    }

    private func known(_ identity: Identity, _ head: RequestHead, _ route: Route, _ session: (CookieSession, Place)?) {
        if let (session, place) = session, !isMeant(head, session, at: place, by: identity) { return refuse(GatewayFailure.crossSite) }
        self.identity = identity
        decideLimits(head, route)
    }

    /// A console's session in a cookie stands for a token, where the request was meant by the person before the browser. False
    /// without one: then the request is nobody's.
    private func decideCookie(_ head: RequestHead, _ route: Route) -> Bool {
        guard !head.isRepeated(.cookie), let place = head.place(.cookie), let session = head.with(place, CookieSession.read) else {
            return false
        }
        // Whose page it may be is known once the token is: until then it may be anybody's that may call at all.
        guard isMeant(head, session, at: place, by: nil) else {
            refuse(GatewayFailure.crossSite)
            return true
        }
        let token = place.part(session.token)
        replacement = Array("Authorization: Bearer \(head.text(token))\r\n".utf8)
        decideToken(token, head, route, session: (session, place))
        return true
    }

    /// Whether the page that sent it may act for whoever the cookie is of.
    private func isMeant(_ head: RequestHead, _ session: CookieSession, at cookies: Place, by identity: Identity?) -> Bool {
        let isOriginAllowed = head.withValue(.origin) { origin in
            guard let identity else { return policy.crossOrigin.preflight(origin) != nil }
            return policy.crossOrigin.grant(origin, tenant: identity.tenantText, slug: namedSlug(head, of: identity)) != nil
        }
        let verdict = head.bytes.withUnsafeReadableBytes { bytes in
            func value(_ place: Place?) -> UnsafeRawBufferPointer? {
                place.map { UnsafeRawBufferPointer(rebasing: bytes[Int($0.start)..<Int($0.end)]) }
            }
            return CrossSite.check(
                CrossSite.Evidence(
                    isUnsafe: !(isHead || head.isMethod("GET") || head.isMethod("OPTIONS")),
                    isUpgrade: head.saysUpgrade && head.has(.upgrade), headerToken: value(head.place(.csrfToken)),
                    cookieToken: value(session.csrf.map(cookies.part)), origin: value(head.place(.origin)),
                    fetchSite: value(head.place(.fetchSite)),
                    host: value(head.host), isEncrypted: visitor?.isEncrypted ?? false,
                    isOriginAllowed: isOriginAllowed ?? false))
        }
        return verdict == .fine
    }

    /// The organization that the request names, as far as that will be held against the token's. Of an organization that is only said
    /// to be the token's nothing follows.
    func namedSlug(_ head: RequestHead, of identity: Identity?) -> String? {
        guard identity == nil || door.agreement != nil else { return nil }
        return namedSlugs(head).first
    }

    /// In lower case: by `X-Tenant-Slug`, and by the label before the public domain.
    func namedSlugs(_ head: RequestHead) -> [String] {
        guard head.has(.tenantSlug) || door.settings.publicDomain != nil else { return [] }
        return TenantAgreement.named(
            header: head.text(.tenantSlug)?.lowercased(), host: head.host.map(head.text), domain: door.settings.publicDomain)
    }

    /// Where anybody may call, a bad credential is taken no notice of, nor passed on: an expired token must not keep somebody from
    /// signing in. What is of OAuth judges tokens itself, and says what is wrong with them (RFC 6750, section 3.1).
    private func badCredential(_ head: RequestHead, _ route: Route, _ failure: any Failure) {
        replacement = nil
        guard route.isPublic else { return chargeThenRefuse(head, route, failure) }
        if failure as? GatewayFailure == .twoCredentials || !head.isOfOAuth(route) { head.dropCredentials() }
        decideLimits(head, route)
    }

    /// A token or key that is none of ours is counted against its address, so that guessing is limited too.
    private func chargeThenRefuse(_ head: RequestHead, _ route: Route, _ failure: any Failure) {
        charge(route) { $0.refuse(failure) }
    }

    /// Auth is asked what a key is good for; no service needs to see one.
    private func exchangeKey(_ place: Place, _ head: RequestHead, _ route: Route) {
        // Auth is not asked about a key where nobody needs one, and no service sees one.
        if route.isPublic {
            head.dropCredentials()
            return decideLimits(head, route)
        }
        // Where auth cannot be asked, the services do.
        guard let keys = door.apiKeys else { return decideLimits(head, route) }
        if let identity = head.with(place, loop.identities.find(key:)) {
            self.identity = identity
            replacement = identity.replacement
            return decideLimits(head, route)
        }
        let client = visitor?.limitSubject ?? "", key = head.text(place)
        ask(
            .auth,
            { [verifier = door.verifier, guesses = door.guesses] in
                await Result.of { () throws -> (caller: Caller, token: String) in
                    // Auth is asked only for addresses that have not shown too many wrong ones.
                    if try keys.known(key) == nil, let seconds = guesses.retryAfter(client, now: Monotonic.now()) {
                        throw GatewayFailure.limited(policy: guesses.policy.name, retryAfter: seconds)
                    }
                    do {
                        return try await keys.exchange(key, with: verifier)
                    } catch AccessFailure.badAPIKey {
                        guesses.note(client, now: Monotonic.now())
                        throw AccessFailure.badAPIKey
                    }
                }
            }
        ) { exchange, result in
            switch result {
            case .success(let (_, token)):
                guard let identity = exchange.loop.identities.keep(key: key, token: token) else {
                    return exchange.badCredential(head, route, AccessFailure.badAPIKey)
                }
                exchange.identity = identity
                exchange.replacement = identity.replacement
                exchange.decideLimits(head, route)
            case .failure(let error): exchange.badCredential(head, route, error as? any Failure ?? GatewayFailure.unexpected)
            }
        }
    }

    // MARK: How often

    private func decideLimits(_ head: RequestHead, _ route: Route) {
        charge(route) { $0.decideAccess(head, route) }
    }

    private func charge(_ route: Route, then: @escaping (Exchange) -> Void) {
        limits.removeAll()
        if let identity {
            identity.addBuckets(route, visitor, policy, door.limits, to: &limits)
        } else {
            visitor?.addBuckets(route, policy, door.limits, to: &limits)
        }
        switch limits.take(Monotonic.now()) {
        case .allowed: then(self)
        case .refused: limited(limits)
        case .ask:
            // A lease is used up: the one place where a request that is allowed may wait for Redis.
            ask(.redis, { [limits, book = door.limits] in await limits.settled(in: book) }) { exchange, settled in
                exchange.limits = settled
                if settled.refusal == nil { then(exchange) } else { exchange.limited(settled) }
            }
        }
    }

    private func limited(_ group: LimitGroup) {
        let refusal = group.refusal
        refuse(GatewayFailure.limited(policy: refusal?.policy ?? "default", retryAfter: refusal?.retryAfter ?? 1))
    }

    // MARK: May they

    private func decideAccess(_ head: RequestHead, _ route: Route) {
        if identity == nil, route.needsToken, !hasOtherCredentials(head) { return refuse(AccessFailure.notSignedIn) }
        decideTenant(head, route)
    }

    /// Credentials that only the service itself can judge: an OAuth client's, or a key that the gateway cannot exchange.
    private func hasOtherCredentials(_ head: RequestHead) -> Bool {
        head.has(.authorization) || (head.has(.apiKey) && door.apiKeys == nil)
    }

    /// Only who names an organization otherwise than by the token has something to agree on.
    private func decideTenant(_ head: RequestHead, _ route: Route) {
        guard let agreement = door.agreement else { return decideBody(head, route) }
        let named = namedSlugs(head)
        guard !named.isEmpty else { return decideBody(head, route) }
        let caller = route.isPublic ? nil : identity?.caller
        let attempt = TenantAgreement.Attempt(
            address: visitor?.text ?? "", userAgent: head.text(.userAgent), requestID: requestID.text, method: head.text(head.method),
            path: head.text(head.path))
        if let known = agreement.known(named, caller) {
            if let failure = agreement.refusal(known, attempt, caller) { return refuse(failure) }
            return decideBody(head, route)
        }
        ask(.users, { await agreement.outcome(named, caller) }) { exchange, outcome in
            if let failure = agreement.refusal(outcome, attempt, caller) {
                exchange.refuse(failure)
            } else {
                exchange.decideBody(head, route)
            }
        }
    }

    // MARK: The account that somebody wants to sign in to

    /// For the whole of a body that is read before anything is decided.
    private static var collectingTime: UInt64 { 30 * Monotonic.second }

    private func decideBody(_ head: RequestHead, _ route: Route) {
        guard route.isSignIn, !hasBodyEnded else { return decideAnswerFromCache(head, route) }
        if case .length(let length) = framing, length > route.maximumBody {
            return refuse(GatewayFailure.bodyTooLarge(limit: route.maximumBody))
        }
        phase = .collecting
        deadline = startedAt &+ Self.collectingTime
        wantsBody = true
        client?.readMore()
    }

    func collect(_ bytes: ByteBuffer) {
        var bytes = bytes
        if collected == nil { collected = bytes } else { collected?.writeBuffer(&bytes) }
        let limit = route?.maximumBody ?? 0
        if collected?.readableBytes ?? 0 > limit { refuse(GatewayFailure.bodyTooLarge(limit: limit)) }
    }

    func collectedAll() {
        guard let head = request, let route else { return }
        phase = .deciding
        deadline = Monotonic.coarse() &+ door.times.deciding
        wantsBody = false
        let accounts = SignIn.subjects(
            of: collected ?? ByteBuffer(), contentType: head.allText(.contentType), address: visitor?.limitSubject ?? "")
        for rule in policy.plans.resolve(route.limits, plan: identity?.caller.plan) where rule.subject == .account {
            for account in accounts { signIn.add(door.limits.bucket(rule.policy, subject: rule.subjectText(account))) }
        }
        guard !signIn.isEmpty else { return decideAnswerFromCache(head, route) }
        ask(.redis, { [signIn, book = door.limits] in await signIn.settled(in: book) }) { exchange, settled in
            exchange.signIn = settled
            if settled.refusal == nil { return exchange.decideAnswerFromCache(head, route) }
            // All or none: what refuses comes too late to have been asked first.
            exchange.limits.takeBack(in: exchange.door.limits)
            exchange.limited(settled)
        }
    }
}

extension ServiceName {
    /// Beside the services, the gateway asks Redis.
    fileprivate static let redis = ServiceName(rawValue: "redis")
}

extension Result where Failure == any Error {
    static func of(_ body: () async throws -> Success) async -> Result {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}

extension RequestHead {
    /// None of what the client says who it is goes on.
    func dropCredentials() {
        drop(.authorization)
        drop(.apiKey)
    }

    fileprivate func isOfOAuth(_ route: Route) -> Bool {
        route.service == .auth && with(path) { $0.starts(with: "/oauth2/".utf8) }
    }
}

extension Place {
    /// A part of this one, counted from its start.
    fileprivate func part(_ range: Range<Int>) -> Place { Place(Int(start) + range.lowerBound, Int(start) + range.upperBound) }
}
