import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Synonyms, stop words and the usual language of an organization. They count from the next search on: nothing is indexed anew.
struct SettingsRoutes: Sendable {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("search/settings") {
            Endpoint.get("", "Read the settings of searches", may: "search:admin", read)
            Endpoint.put("", "Replace the settings of searches", may: "search:admin", maxBodyBytes: 1_000_000, replace)
        }
    }

    func read(_ request: CallerRequest) async throws -> SettingsView {
        SettingsView(try await database.first(SettingsStore.find, as: request.caller) ?? SearchSettings())
    }

    func replace(_ request: CallerRequest, _ body: SettingsBody) async throws -> SettingsView {
        try await database.transaction(as: request.caller) { tx in
            let store = SettingsStore(tx)
            var settings = try store.lock() ?? SearchSettings()
            try request.requireMatch(EntityTag(version: settings.version))
            let before = settings
            try settings.replace(language: body.language, synonyms: body.synonyms ?? [], stopWords: body.stopWords ?? [])
            guard try store.save(settings) else { throw ResourceFailure.stale }
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID).record(
                "search.settings.replace", "settings", nil, was: before.summary, changed: settings.summary)
            return SettingsView(settings)
        }
    }
}

struct SettingsBody: Decodable, Sendable {
    let language: Language?
    let synonyms: [[Label]]?
    let stopWords: [Label]?
}

extension SearchSettings {
    /// What an audit entry says of them.
    fileprivate var summary: [String: JSONValue] {
        [
            "language": language.map { .string($0.rawValue) } ?? .null,
            "synonyms": .array(synonyms.map { .array($0.map { .string($0.rawValue) }) }),
            "stopWords": .array(stopWords.map { .string($0.rawValue) }),
        ]
    }
}
