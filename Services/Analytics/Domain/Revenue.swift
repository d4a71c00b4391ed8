import Foundation

/// What customers report of their own sales: events of these names, with the properties `amount` (a whole number of minor units, such
/// as cents) and `currency` (ISO 4217). What is given back is taken off. Events without both are no revenue.
enum Revenue {
    static let orderEvent = "order.completed"
    static let refundEvent = "order.refunded"
    static let amountProperty = "amount"
    static let currencyProperty = "currency"
    /// Currencies of one answer.
    static let maximumCurrencies = 20
}

/// Sales of one bucket in one currency.
struct RevenueFigures: Codable, Sendable, Equatable {
    let currency: String
    let orders: Int
    let refunds: Int
    /// Orders less refunds, in minor units.
    let amount: Int
    let customers: Int
}

/// One thing that people can do, and how many did.
struct FeatureUse: Sendable, Equatable {
    /// `platform` for what the platform itself offers, `event` for what a customer reports by this name.
    let source: String
    let feature: String
    let uses: Int
    let users: Int

    /// What of the platform counts as a feature.
    static let platform: [FactKind] = [.publication, .answer, .upload]
    /// Features of one answer.
    static let maximum = 100
}
