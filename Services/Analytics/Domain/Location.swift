/// Where a client's address is, as far as a database of locations knows: never more exact than a city.
struct Location: Codable, Sendable, Equatable {
    /// ISO 3166-1: `DE`.
    var country: String?
    /// ISO 3166-2 without the country: `BE`.
    var region: String?
    /// In English.
    var city: String?

    /// The country alone, for those who do not want to be followed.
    var coarse: Location? { country.map { Location(country: $0) } }
}
