import Contracts
import Foundation

/// What an organization has bought: a level, and what comes with it (requirement 3, "levels").
enum Plan: String, Sendable, Codable, CaseIterable {
    case starter, professional, business, enterprise

    /// Higher includes lower.
    var level: Int {
        switch self {
        case .starter: 1
        case .professional: 2
        case .business: 3
        case .enterprise: 4
        }
    }

    var limits: Limits {
        switch self {
        case .starter: Limits(seats: 10, storageGB: 10)
        case .professional: Limits(seats: 50, storageGB: 100)
        case .business: Limits(seats: 500, storageGB: 1_000)
        case .enterprise: Limits(seats: 100_000, storageGB: 10_000)
        }
    }

    var features: Set<Feature> {
        switch self {
        case .starter: []
        case .professional: [.customBranding, .apiAccess]
        case .business, .enterprise: [.customBranding, .apiAccess, .sso]
        }
    }
}

/// How much an organization may have; a platform admin can set it apart from the plan.
struct Limits: Sendable, Equatable {
    static let seats = 1...10_000_000
    static let storageGB = 0...1_000_000

    var seats: Int
    var storageGB: Int
}

enum Feature: String, Sendable, Codable, CaseIterable {
    case sso, customBranding, apiAccess
}

/// Where the payments stand.
enum SubscriptionStatus: String, Sendable, Codable, CaseIterable {
    case none, trialing, active
    case pastDue = "past_due"
    case canceled
}

/// The time in which a new organization has the features of a larger plan.
enum Trial {
    static let plan = Plan.business
    static let length: TimeInterval = 14 * 86_400
}
