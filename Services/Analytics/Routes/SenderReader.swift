import Contracts
import Foundation
import HTTPTypes
import ServiceKit
import Synchronization

/// Reads off a request who sends it, and with what: browser, network, location, wishes. The address itself goes no further than here.
struct SenderReader: Sendable {
    let privacy: PrivacySettings
    let bots: BotSettings
    let locations: LocationDatabase?
    let visitors: Visitors
    let agents = KnownAgents()

    /// Why nothing of a call is kept, by a setting.
    enum Ignored: String, Sendable {
        case doNotTrack = "do-not-track"
        case bot
    }

    enum Reading: Sendable {
        case sender(Sender)
        case ignored(Ignored)
    }

    /// `isPage`: sent by a page itself, with nobody signed in, so that whatever is no browser is a bot. Who is known by a token or a key
    /// may well be a program.
    func read(_ request: PublicRequest, caller: Caller, isPage: Bool) async throws -> Reading {
        let isUnnamed = privacy.doNotTrack != .ignored && Self.objects(request.headers)
        if isUnnamed, privacy.doNotTrack == .dropped { return .ignored(.doNotTrack) }
        let userAgent = request.userAgent.flatMap { $0.isEmpty ? nil : $0 }
        let agent = userAgent.map { agents.find($0, bots.marks) }
        let isBot = bots.handling != .counted && agent.map { $0.isBot || (isPage && $0.isLibrary) } ?? isPage
        if isBot, bots.handling == .dropped { return .ignored(.bot) }
        let address = ClientAddress(request.clientAddress)
        // A key that is no page's is a server's: its address is nobody's.
        let isServer = if case .person = caller.principal { false } else { !isPage }
        var visitor: UUID?
        if let address, !isServer, !isUnnamed, privacy.addresses != .none {
            visitor = try await visitors.visitor(address, userAgent: userAgent, of: caller.tenant, at: request.now)
        }
        return .sender(
            Sender(
                person: caller.person, userAgent: userAgent,
                network: privacy.addresses == .truncated ? address.map { ClientNetwork($0) } : nil,
                visitor: visitor, device: agent?.device, location: isServer ? nil : address.flatMap { locations?.location(of: $0) },
                isBot: isBot, isUnnamed: isUnnamed, receivedAt: request.now))
    }

    /// Do Not Track (W3C, retired and still sent) and Global Privacy Control.
    private static func objects(_ headers: HTTPFields) -> Bool {
        headers[.doNotTrack]?.trimmingCharacters(in: .whitespaces) == "1"
            || headers[.globalPrivacyControl]?.trimmingCharacters(in: .whitespaces) == "1"
    }
}

extension Caller {
    /// An API key, also one of a person's, speaks for many.
    fileprivate var person: UserID? { if case .person(let id) = principal { id } else { nil } }
}

extension HTTPField.Name {
    fileprivate static let doNotTrack = HTTPField.Name("DNT")!
    fileprivate static let globalPrivacyControl = HTTPField.Name("Sec-GPC")!
}

/// What User-Agents say, read once for each: there are few, and they come again and again.
final class KnownAgents: Sendable {
    /// Beyond this all are forgotten, so that invented ones take no more memory than this.
    static let limit = 4_096

    struct Agent: Sendable {
        let device: Device?
        let isBot: Bool
        let isLibrary: Bool
    }

    private let known = Mutex<[String: Agent]>([:])

    func find(_ userAgent: String, _ marks: Bots) -> Agent {
        let text = String(userAgent.unicodeScalars.prefix(Sender.userAgentLength))
        if let agent = known.withLock({ $0[text] }) { return agent }
        let isBot = Bots.declared.match(text) || marks.match(text)
        var device = Device(userAgent: text)
        if isBot { device = device ?? Device(); device?.type = .bot }
        let agent = Agent(device: device, isBot: isBot, isLibrary: Bots.libraries.match(text))
        known.withLock { known in
            if known.count >= Self.limit { known.removeAll() }
            known[text] = agent
        }
        return agent
    }
}
